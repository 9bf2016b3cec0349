// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "MyFirstDext",
    dependencies: [.package(name: "nbdext", path: "../..")],
    targets: [
        .executableTarget(
            name: "MyFirstDext", dependencies: [.product(name: "SCSIControllerDriverKit", package: "nbdext")],
            swiftSettings: [.swiftLanguageMode(.v6)])
    ]
)
