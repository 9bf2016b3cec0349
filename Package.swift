// swift-tools-version: 6.2

import PackageDescription

/// The settings of every Swift target: language mode 6, warnings are errors, existentials are spelled out.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
]

/// Checking at run time that no two accesses to a property overlap costs the server a quarter of its instructions.
/// Debug builds check, and so do the tests, which run in one. A package may not ask this of those that depend on it.
let unchecked: SwiftSetting = .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))

func layer(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict + [unchecked])
}

/// A layer of the library product.
func libraryLayer(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.byName(name: name), "TestTraits"] + dependencies,
        swiftSettings: strict)
}

let argumentParser = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
    name: "nbdext",
    products: [
        .executable(name: "nbdext", targets: ["nbdext"]),
        .executable(name: "nbdext-raid-driver", targets: ["nbdext-raid-driver"]),
        .executable(name: "nbdext-sim", targets: ["nbdext-sim"]),
        .library(name: "SCSIControllerDriverKit", targets: ["SCSIControllerDriverKit"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        // C: what the Swift importer cannot see, layouts that two processes share, system libraries.
        .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),
        .target(name: "CParallelTasks"),
        .target(name: "CDriverChannel", cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(name: "CURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CNBD", pkgConfig: "libnbd", providers: [.apt(["libnbd-dev"])]),

        // From the bottom up.
        libraryLayer("Platform", ["CLinux"]),
        layer("Statistics", ["Platform"]),
        layer("MemberIO"),
        libraryLayer("Diagnostics", ["Platform"]),
        layer("SCSI"),
        layer("NBDProtocol"),
        libraryLayer("HardwareBus", ["Platform"]),
        layer("Members", ["Statistics", "Platform", "MemberIO", "CLinux", "CURing", systemPackage]),
        layer("RemoteMembers", ["Members", "MemberIO", "Platform", "CNBD"]),
        layer("RAID", ["MemberIO"]),
        layer(
            "ArrayStore",
            ["RAID", "RemoteMembers", "Members", "MemberIO", "Statistics", "Platform", "CLinux", systemPackage]),
        layer("RAIDControllerInterface"),
        layer(
            "RAIDController",
            [
                "RAIDControllerInterface", "HardwareBus", "SCSI", "RAID", "ArrayStore", "Members",
                "MemberIO", "Statistics", "Platform", "CISAL",
            ]),
        layer(
            "Simulation",
            [
                "RAIDController", "RAIDControllerInterface", "HardwareBus", "SCSI", "ArrayStore", "RAID", "Members",
                "MemberIO", "Statistics", "Platform",
            ]),
        libraryLayer(
            "SCSIControllerDriverKit",
            ["CParallelTasks", "CDriverChannel", "Diagnostics", "HardwareBus", "Platform", "CLinux"]),
        layer("RAIDDriver", ["SCSIControllerDriverKit", "RAIDControllerInterface"]),
        layer(
            "DriverHost",
            [
                "SCSIControllerDriverKit", "CDriverChannel", "Diagnostics", "HardwareBus", "Statistics", "Platform",
                "CLinux",
            ]),
        layer(
            "ParallelInterface",
            ["DriverHost", "SCSIControllerDriverKit", "Diagnostics", "HardwareBus", "SCSI", "Statistics", "Platform"]),
        layer("SCSIArchitectureModel", ["ParallelInterface", "SCSI", "Platform"]),
        layer(
            "BlockStorage", ["SCSIArchitectureModel", "ParallelInterface", "Diagnostics", "Statistics", "Platform"]),
        layer("BufferCache", ["BlockStorage", "Statistics", "Platform"]),
        layer("LoadGenerator", ["NBDProtocol", "Platform", "CLinux"]),
        layer("BenchReport", ["LoadGenerator", "Statistics"]),
        layer("NBDServer", ["NBDProtocol", "BlockStorage", "Platform", "CLinux"]),
        .target(
            name: "HBAProfiles", dependencies: ["ParallelInterface", "SCSIControllerDriverKit", "Platform"],
            resources: [.embedInCode("Profiles")], swiftSettings: strict),
        layer(
            "StackModel",
            [
                "HBAProfiles", "BlockStorage", "SCSIArchitectureModel", "ParallelInterface",
                "SCSIControllerDriverKit", "SCSI", "Diagnostics", "Platform",
            ]),
        layer(
            "EmulatedMachine",
            [
                "HBAProfiles", "BufferCache", "BlockStorage", "SCSIArchitectureModel", "ParallelInterface",
                "DriverHost",
                "SCSIControllerDriverKit", "RAIDDriver", "RAIDController", "RAID", "ArrayStore", "Members",
                "HardwareBus", "Diagnostics", "Statistics", "Platform", "CLinux",
            ]),
        layer(
            "Scenarios",
            [
                "EmulatedMachine", "HBAProfiles", "BlockStorage", "ParallelInterface", "DriverHost",
                "SCSIControllerDriverKit", "RAIDDriver", "RAIDControllerInterface", "RAID", "ArrayStore", "Members",
                "Diagnostics", "Platform",
            ]),
        layer(
            "DriverCheck",
            [
                "EmulatedMachine", "HBAProfiles", "BlockStorage", "ParallelInterface", "DriverHost",
                "SCSIControllerDriverKit", "ArrayStore", "Members", "Diagnostics", "Statistics", "Platform",
            ]),
        .executableTarget(
            name: "nbdext",
            dependencies: [
                "DriverCheck", "Scenarios", "EmulatedMachine", "StackModel", "HBAProfiles", "NBDServer", "BlockStorage",
                "ParallelInterface", "DriverHost", "ArrayStore", "RAID", "Members", "LoadGenerator", "BenchReport",
                "Diagnostics", "Statistics", "Platform", "CLinux", argumentParser,
            ],
            swiftSettings: strict),

        .executableTarget(
            name: "nbdext-raid-driver", dependencies: ["RAIDDriver", "SCSIControllerDriverKit"],
            swiftSettings: strict),

        .executableTarget(
            name: "nbdext-sim", dependencies: ["Simulation", "Platform", argumentParser], swiftSettings: strict),

        .executableTarget(
            name: "nbdext-test-driver",
            dependencies: [
                "RAIDDriver", "RAIDControllerInterface", "SCSIControllerDriverKit", "CDriverChannel", "CLinux",
                "CEscape",
            ],
            path: "Tests/TestDriver", swiftSettings: strict),
        // In C: Swift does not see system calls without a function of their own.
        .target(name: "CEscape", path: "Tests/CEscape", cSettings: [.define("_GNU_SOURCE")]),
        // The scenarios' drivers as a program, for tests of what is checked from outside.
        .executableTarget(
            name: "nbdext-scenario-driver", dependencies: ["Scenarios", "SCSIControllerDriverKit", "Platform"],
            swiftSettings: strict),

        // How tests say what they need, and what several test targets need.
        .target(name: "TestTraits", dependencies: ["Platform"], path: "Tests/TestTraits", swiftSettings: strict),
        .target(
            name: "TestSupport",
            dependencies: ["BlockStorage", "SCSIArchitectureModel", "Members", "MemberIO", "Platform"],
            path: "Tests/TestSupport", swiftSettings: strict),
        // Input of every kind that somebody else wrote, for tests and for the fuzzer (scripts/fuzz).
        .target(
            name: "HostileInput",
            dependencies: ["RAIDController", "ArrayStore", "RAID", "Members", "MemberIO", "Platform"],
            path: "Tests/HostileInput", swiftSettings: strict),
        tests("Platform"),
        tests("Statistics", ["Platform"]),
        tests("NBDProtocol"),
        tests(
            "NBDServer", ["TestSupport", "NBDProtocol", "BlockStorage", "SCSIArchitectureModel", "CLinux", "Platform"]),
        tests(
            "LoadGenerator",
            ["TestSupport", "NBDProtocol", "NBDServer", "BlockStorage", "SCSIArchitectureModel", "Platform"]),
        tests("BenchReport", ["LoadGenerator", "Statistics"]),
        tests(
            "BlockStorage",
            [
                "TestSupport", "SCSIArchitectureModel", "ParallelInterface", "Diagnostics", "SCSI", "Statistics",
                "Platform",
            ]),
        tests("BufferCache", ["TestSupport", "BlockStorage", "Platform"]),
        tests("SCSI"),
        tests("SCSIArchitectureModel", ["ParallelInterface", "Diagnostics", "SCSI", "Platform"]),
        tests(
            "ParallelInterface",
            ["DriverHost", "SCSIControllerDriverKit", "Diagnostics", "HardwareBus", "SCSI", "Platform"]),
        tests("StackModel", ["HBAProfiles", "BlockStorage", "ParallelInterface", "SCSIControllerDriverKit"]),
        tests("HBAProfiles", ["ParallelInterface", "SCSIControllerDriverKit", "Diagnostics"]),
        tests(
            "RAIDController",
            ["TestSupport", "RAIDControllerInterface", "HardwareBus", "ArrayStore", "RAID", "SCSI", "Platform"]),
        .testTarget(
            name: "SimulationTests",
            dependencies: ["TestTraits", "Simulation", "ArrayStore", "RAID", "Members", "MemberIO", "Platform"],
            exclude: ["Mutants"], swiftSettings: strict),
        tests("RAID", ["MemberIO", "Platform"]),
        tests("Members", ["TestSupport", "MemberIO", "Platform"]),
        tests("RemoteMembers", ["TestSupport", "MemberIO", "Members", "Platform"]),
        tests("ArrayStore", ["HostileInput", "RAID", "MemberIO", "Members", "Platform"]),
        tests(
            "DriverHost",
            [
                "nbdext-test-driver", "EmulatedMachine", "HBAProfiles", "BlockStorage", "SCSIControllerDriverKit",
                "HardwareBus", "CDriverChannel", "CLinux", "RAID", "ArrayStore", "Members", "Diagnostics", "Platform",
            ]),
        .testTarget(
            name: "StyleTests", dependencies: ["Diagnostics", "Scenarios", "ParallelInterface"], swiftSettings: strict),
        tests(
            "Scenarios",
            [
                "nbdext-scenario-driver",
                "TestSupport", "EmulatedMachine", "HBAProfiles", "BlockStorage", "ParallelInterface", "DriverHost",
                "SCSIControllerDriverKit", "RAIDDriver", "RAIDControllerInterface", "RAID", "ArrayStore", "Members",
                "Diagnostics", "Platform",
            ]),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "TestTraits", "nbdext", "nbdext-raid-driver", "nbdext-scenario-driver", "nbdext-test-driver",
                "Scenarios",
                "Diagnostics", "Statistics", "LoadGenerator", "RAID", "CNBD", "CLinux", "Platform",
            ],
            exclude: ["UserModeLinux"], swiftSettings: strict),
    ]
)

// Only for scripts/fuzz, which asks the compiler for libFuzzer.
if Context.environment["NBDEXT_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "nbdext-fuzz",
            dependencies: [
                "HostileInput", "ArrayStore", "RAID", "HBAProfiles", "StackModel", "NBDProtocol", "Statistics",
                "SCSIControllerDriverKit", "CDriverChannel", "Platform",
            ],
            path: "Tests/Fuzz", swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])]))
}
