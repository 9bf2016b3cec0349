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

/// The planner's tests go its ways by the million: without optimisation they took two thirds of the time of all quick
/// tests. Assertions stay.
let optimised: SwiftSetting = .unsafeFlags(["-O", "-assert-config", "Debug"], .when(configuration: .debug))

let gnuSource: CSetting = .define("_GNU_SOURCE")

// MARK: The design

/// All targets but the tests', from the bottom up. One lies in Sources/GROUP/NAME, and uses those above it in this list only.
/// Docs/ARCHITECTURE.md says what each is, and StyleTests read this list.
let groups: [(name: String, layers: [Layer])] = [
    // Libraries of the system.
    (
        "System",
        [
            system("CURing", "liburing", of: "liburing-dev"),
            system("CISAL", "libisal", of: "libisal-dev"),
            system("CNBD", "libnbd", of: "libnbd-dev"),
        ]
    ),
    // What knows nothing of disks.
    (
        "Base",
        [
            clang("CLinux"),
            kit("Platform", uses: "CLinux", logs: true),
            kit("Diagnostics", uses: "Platform"),
            layer("Statistics"),
        ]
    ),
    // The RAID: from md's bytes to arrays that are open.
    (
        "Array",
        [
            layer("MemberIO"),
            layer("MDFormat"),
            layer("RAID", uses: "MemberIO", "MDFormat", settings: [optimised]),
            layer("Members", uses: "CURing", "CLinux", "Platform", "Statistics", "MemberIO"),
            layer("RemoteMembers", uses: "CNBD", "Platform", "MemberIO", "Members"),
            layer(
                "ArrayStore",
                uses: "CLinux", "Platform", "Statistics", "MemberIO", "MDFormat", "RAID", "Members", "RemoteMembers"),
            layer(
                "ArrayEngine",
                uses: "CISAL", "Platform", "Statistics", "MemberIO", "MDFormat", "RAID", "Members", "ArrayStore"),
        ]
    ),
    // What a driver sees, and what runs it.
    (
        "DriverKit",
        [
            clang("CParallelTasks"),
            clang("CDriverKit"),
            kit("HardwareBus"),
            kit(
                "SCSIControllerDriverKit",
                uses: "CLinux", "Platform", "Diagnostics", "CParallelTasks", "CDriverKit", "HardwareBus"),
            layer(
                "DriverHost",
                uses: "CLinux", "Platform", "Diagnostics", "Statistics", "CDriverKit", "HardwareBus",
                "SCSIControllerDriverKit"),
        ]
    ),
    // DEXTs in C++: from a Mac developer's sources to a driver that runs here.
    (
        "Dext",
        [
            clang("CDextABI", uses: "CParallelTasks"),
            kit(
                "DextHost",
                uses: "Platform", "Diagnostics", "SCSIControllerDriverKit", "CDextABI"),
            layer("InterfaceGenerator"),
            layer("DextBundle", uses: "Platform", "Diagnostics", "CDextABI", "SCSIControllerDriverKit"),
            layer(
                "DextBuilder", uses: "Platform", "Diagnostics", "CDextABI", "DextBundle", "InterfaceGenerator",
                copies: "Kit"),
        ]
    ),
    // The emulated kernel: from a disk's bytes to the driver.
    (
        "Kernel",
        [
            layer("SCSI"),
            layer(
                "ParallelInterface",
                uses: "Platform", "Diagnostics", "Statistics", "HardwareBus", "SCSIControllerDriverKit", "DriverHost",
                "SCSI"),
            layer("SCSIArchitectureModel", uses: "Platform", "SCSI", "ParallelInterface"),
            layer("BlockStorage", uses: "Platform", "Statistics", "ParallelInterface", "SCSIArchitectureModel"),
            layer("BufferCache", uses: "Platform", "Statistics", "BlockStorage"),
        ]
    ),
    // The RAID card and its driver.
    (
        "Card",
        [
            clang("CRAIDCard"),
            layer("RAIDControllerInterface", uses: "CRAIDCard"),
            layer("RAIDDriver", uses: "SCSIControllerDriverKit", "RAIDControllerInterface"),
            layer(
                "RAIDController",
                uses: "Platform", "Statistics", "RAID", "ArrayEngine", "HardwareBus", "SCSI", "RAIDControllerInterface"),
        ]
    ),
    // What clients talk to.
    (
        "Server",
        [
            layer("NBDProtocol"),
            layer("NBDServer", uses: "CLinux", "Platform", "BlockStorage", "NBDProtocol"),
        ]
    ),
    // Everything together, and what is tried and told of it.
    (
        "Machine",
        [
            layer(
                "HBAProfiles", uses: "Platform", "SCSIControllerDriverKit", "ParallelInterface", resources: "Profiles"),
            layer(
                "StackModel",
                uses: "Platform", "Diagnostics", "SCSIControllerDriverKit", "SCSI", "ParallelInterface",
                "SCSIArchitectureModel", "BlockStorage", "HBAProfiles"),
            layer(
                "EmulatedMachine",
                uses: "Platform", "Diagnostics", "Statistics", "RAID", "Members", "ArrayStore", "ArrayEngine",
                "CDriverKit", "HardwareBus", "SCSIControllerDriverKit", "DriverHost", "ParallelInterface",
                "SCSIArchitectureModel", "BlockStorage", "BufferCache", "RAIDDriver", "RAIDController", "HBAProfiles"),
            layer(
                "Scenarios",
                uses: "Platform", "Diagnostics", "Members", "ArrayStore", "SCSIControllerDriverKit", "DriverHost",
                "DextBundle", "DextBuilder", "ParallelInterface", "BlockStorage", "RAIDControllerInterface",
                "RAIDDriver", "HBAProfiles", "EmulatedMachine", copies: "Dext"),
            layer(
                "DriverCheck",
                uses: "Platform", "Diagnostics", "Members", "ArrayStore", "SCSIControllerDriverKit", "DriverHost",
                "ParallelInterface", "BlockStorage", "HBAProfiles", "EmulatedMachine"),
        ]
    ),
    // Programs, and what only they need.
    (
        "Tools",
        [
            layer("LoadGenerator", uses: "CLinux", "Platform", "NBDProtocol"),
            layer("BenchReport", uses: "Statistics", "LoadGenerator", resources: "Page"),
            layer(
                "Control",
                uses: "CLinux", "Platform", "Diagnostics", "Statistics", "Members", "ArrayStore", "DriverHost",
                "ParallelInterface", "DextBundle", "NBDServer", "HBAProfiles", "StackModel", "EmulatedMachine"),
            layer(
                "Bench",
                uses: "Platform", "Statistics", "RAID", "ArrayStore", "LoadGenerator", "BenchReport", "Control"),
            layer(
                "Simulation",
                uses: "Platform", "Statistics", "MemberIO", "MDFormat", "RAID", "Members", "ArrayStore", "ArrayEngine",
                "HardwareBus", "SCSI", "RAIDControllerInterface", "RAIDController"),
            program(
                "nbdext",
                uses: "Platform", "Diagnostics", "MDFormat", "RAID", "Members", "ArrayStore", "DriverHost",
                "ParallelInterface", "NBDServer", "HBAProfiles", "StackModel", "EmulatedMachine", "Scenarios",
                "DriverCheck", "DextBundle", "DextBuilder", "LoadGenerator", "BenchReport", "Control", "Bench"),
            program("nbdext-raid-driver", uses: "SCSIControllerDriverKit", "RAIDDriver"),
            program("nbdext-dext", uses: "Platform", "DextHost"),
            program("nbdext-sim", uses: "Platform", "Simulation"),
        ]
    ),
]

// MARK: The tests

let tests: [Target] = [
    // How tests say what they need, and what several of them need.
    support("TestTraits", uses: "Platform"),
    support("TestSupport", uses: "Platform", "MemberIO", "Members", "SCSIArchitectureModel", "BlockStorage"),
    // Input of every kind that somebody else wrote, for tests and for the fuzzer (scripts/fuzz).
    support("HostileInput", uses: "MemberIO", "MDFormat", "RAID", "Members", "ArrayStore", "ArrayEngine"),
    // In C: Swift does not see system calls without a function of their own.
    .target(name: "CEscape", path: "Tests/CEscape", cSettings: [gnuSource]),
    // Drivers that misbehave, as programs.
    .executableTarget(
        name: "nbdext-test-driver",
        dependencies: [
            "CEscape", "CLinux", "CDriverKit", "SCSIControllerDriverKit", "RAIDControllerInterface", "RAIDDriver",
        ],
        path: "Tests/TestDriver", swiftSettings: strict),
    .executableTarget(
        name: "nbdext-scenario-driver", dependencies: ["Platform", "SCSIControllerDriverKit", "Scenarios"],
        path: "Tests/ScenarioDriver", swiftSettings: strict),

    test("Platform"),
    test("Statistics", uses: "Platform"),
    test("MDFormat"),
    test("RAID", uses: "Platform", "MemberIO", "MDFormat", settings: [optimised]),
    test("Members", uses: "TestSupport", "Platform", "MemberIO"),
    test("RemoteMembers", uses: "TestSupport", "Platform", "MemberIO", "Members"),
    test(
        "ArrayStore",
        uses: "TestSupport", "HostileInput", "Platform", "Statistics", "MemberIO", "MDFormat", "RAID", "Members"),
    test("ArrayEngine", uses: "RAID"),
    test(
        "DriverHost",
        uses: "nbdext-test-driver", "TestSupport", "CLinux", "Platform", "Diagnostics", "Members", "ArrayStore",
        "CDriverKit", "HardwareBus", "SCSIControllerDriverKit", "ParallelInterface", "BlockStorage", "HBAProfiles",
        "EmulatedMachine"),
    test(
        "DextHost",
        uses: "nbdext-dext", "TestSupport", "Platform", "Diagnostics", "Members", "SCSIControllerDriverKit",
        "DriverHost", "BlockStorage", "HBAProfiles", "EmulatedMachine", exclude: "Bundle"),
    test("SCSI", uses: "Platform"),
    test(
        "ParallelInterface",
        uses: "TestSupport", "Platform", "Diagnostics", "HardwareBus", "SCSIControllerDriverKit", "DriverHost", "SCSI"),
    test("SCSIArchitectureModel", uses: "Platform", "Diagnostics", "SCSI", "ParallelInterface"),
    test(
        "BlockStorage",
        uses: "TestSupport", "Platform", "Diagnostics", "SCSI", "ParallelInterface", "SCSIArchitectureModel"),
    test("BufferCache", uses: "TestSupport", "Platform", "BlockStorage"),
    test(
        "RAIDController",
        uses: "TestSupport", "Platform", "MDFormat", "RAID", "Members", "ArrayStore", "ArrayEngine", "HardwareBus",
        "SCSI", "RAIDControllerInterface"),
    test("DextBundle", uses: "Platform", "Diagnostics", "SCSIControllerDriverKit"),
    test("DextBuilder", uses: "TestSupport", "Platform"),
    test("InterfaceGenerator", uses: "Platform"),
    test("NBDProtocol", uses: "Platform"),
    test("NBDServer", uses: "TestSupport", "CLinux", "Platform", "NBDProtocol"),
    test("HBAProfiles", uses: "Diagnostics", "SCSIControllerDriverKit", "ParallelInterface"),
    test("StackModel", uses: "Platform", "BlockStorage", "HBAProfiles"),
    test(
        "Scenarios",
        uses: "nbdext-scenario-driver", "TestSupport", "Platform", "Diagnostics", "MDFormat", "RAID", "Members",
        "ArrayStore", "SCSIControllerDriverKit", "DriverHost", "BlockStorage", "RAIDControllerInterface", "RAIDDriver",
        "HBAProfiles", "EmulatedMachine"),
    test("LoadGenerator", uses: "TestSupport", "Platform", "NBDProtocol", "NBDServer"),
    test("BenchReport", uses: "Statistics", "LoadGenerator"),
    test("Control", uses: "TestSupport", "Platform", "Diagnostics", "Statistics", "ArrayStore", "DriverCheck"),
    test("Simulation", uses: "Platform", "MDFormat", "RAID", "ArrayStore"),
    test(
        "Integration", of: "nbdext",
        uses: "nbdext-raid-driver", "nbdext-scenario-driver", "nbdext-test-driver", "TestSupport", "CNBD", "CLinux",
        "Platform", "Diagnostics", "Statistics", "MDFormat", "RAID", "Scenarios", "LoadGenerator", "Control",
        exclude: "UserModeLinux"),
    test("Style", of: "Scenarios", uses: "Diagnostics", "ParallelInterface"),
]

// MARK: How targets are built

struct Layer {
    let name: String
    let uses: [String]
    let target: (_ path: String) -> Target
}

/// - Parameters:
///   - resources: files that become code.
///   - copies: files that lie beside the programs.
func layer(
    _ name: String, uses: String..., resources: String? = nil, copies: String? = nil, settings: [SwiftSetting] = []
) -> Layer {
    Layer(name: name, uses: uses) {
        .target(
            name: name, dependencies: dependencies(uses), path: $0,
            resources: (resources.map { [.embedInCode($0)] } ?? []) + (copies.map { [.copy($0)] } ?? []),
            swiftSettings: strict + [unchecked] + settings)
    }
}

/// A layer of the library product.
func kit(_ name: String, uses: String..., logs: Bool = false) -> Layer {
    let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
    return Layer(name: name, uses: uses) {
        .target(
            name: name, dependencies: dependencies(uses) + (logs ? [logging] : []), path: $0, swiftSettings: strict)
    }
}

/// C: what the Swift importer cannot see, and layouts that two processes share.
func clang(_ name: String, uses: String...) -> Layer {
    Layer(name: name, uses: uses) {
        .target(name: name, dependencies: dependencies(uses), path: $0, cSettings: [gnuSource])
    }
}

func system(_ name: String, _ library: String, of package: String) -> Layer {
    Layer(name: name, uses: []) {
        .systemLibrary(name: name, path: $0, pkgConfig: library, providers: [.apt([package])])
    }
}

func program(_ name: String, uses: String...) -> Layer {
    let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
    return Layer(name: name, uses: uses) {
        .executableTarget(
            name: name, dependencies: dependencies(uses) + [arguments], path: $0, swiftSettings: strict)
    }
}

func support(_ name: String, uses: String...) -> Target {
    .target(name: name, dependencies: dependencies(uses), path: "Tests/\(name)", swiftSettings: strict)
}

func test(
    _ name: String, of target: String? = nil, uses: String..., exclude: String? = nil, settings: [SwiftSetting] = []
) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies([target ?? name, "TestTraits"] + uses),
        exclude: exclude.map { [$0] } ?? [], swiftSettings: strict + settings)
}

func dependencies(_ names: [String]) -> [Target.Dependency] { names.map { .byName(name: $0) } }

var known: Set<String> = []
for (group, layers) in groups {
    for layer in layers {
        for name in layer.uses where !known.contains(name) {
            fatalError("\(layer.name) uses \(name), which is not above it in the list of \(group) or before")
        }
        known.insert(layer.name)
    }
}

let package = Package(
    name: "nbdext",
    products: [
        .executable(name: "nbdext", targets: ["nbdext"]),
        .executable(name: "nbdext-raid-driver", targets: ["nbdext-raid-driver"]),
        .executable(name: "nbdext-dext", targets: ["nbdext-dext"]),
        .executable(name: "nbdext-sim", targets: ["nbdext-sim"]),
        .library(name: "SCSIControllerDriverKit", targets: ["SCSIControllerDriverKit"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: groups.flatMap { group in group.layers.map { $0.target("Sources/\(group.name)/\($0.name)") } } + tests
)

// Only for scripts/fuzz, which asks the compiler for libFuzzer.
if Context.environment["NBDEXT_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "nbdext-fuzz",
            dependencies: [
                "HostileInput", "ArrayStore", "RAID", "HBAProfiles", "StackModel", "NBDProtocol", "Statistics",
                "Control",
                "SCSIControllerDriverKit", "CDriverKit", "Platform",
            ],
            path: "Tests/Fuzz", swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])]))
}
