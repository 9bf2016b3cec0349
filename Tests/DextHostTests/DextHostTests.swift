import BlockStorage
import Diagnostics
import DriverHost
import EmulatedMachine
import Foundation
import HBAProfiles
import Members
import Platform
import SCSIControllerDriverKit
import TestSupport
import TestTraits
import Testing

/// Bundles that are compiled from Bundle/RAMDisk.c, beside the program that runs them, where it may read them.
enum TestBundle {
    static let program = builtProgram("nbdext-dext")
    static let hasCompiler = run("/usr/bin/env", ["clang", "--version"]) == 0

    /// The library's path.
    static let library = compile("libTestDisk.so", "-DTEST_VERSION_OFFSET=")
    /// A library for another version of the interface.
    static let foreign = compile("libTestDiskForeign.so", "-DTEST_VERSION_OFFSET=+1")

    private static func compile(_ name: String, _ definition: String) -> String {
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Bundle/RAMDisk.c"
        let root =
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path + "/Sources/"
        let path = (program as NSString).deletingLastPathComponent + "/" + name
        let status = run(
            "/usr/bin/env",
            [
                "clang", "-std=gnu17", "-g", "-shared", "-fPIC", "-fvisibility=hidden", definition,
                "-I\(root)Dext/CDextABI/include", "-I\(root)DriverKit/CParallelTasks/include", source, "-o", path,
                "-lpthread",
            ])
        precondition(status == 0, "clang compiles \(source)")
        return path
    }

    private static func run(_ program: String, _ arguments: [String]) -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        do { try process.run() } catch { return -1 }
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// A machine with the bundle's driver in a process of its own.
    static func machine(
        habit: String = "", library: String = library, log: DiagnosisLog,
        personalities: OSDictionary = ["Disk": .dictionary(["IOUserClass": "TestDisk"])]
    ) throws -> Machine {
        var configuration = MachineConfiguration(
            directories: [], mode: .bundled, profile: try HBAProfile(nameOrPath: "default"), policy: .strict,
            engine: MemberEngineKind.detect(), log: log)
        var driver = DriverProgram(path: program, arguments: [library])
        driver.properties = ["IOKitPersonalities": .dictionary(personalities), "Habit": .string(habit)]
        configuration.driver = driver
        configuration.kernelOptions.slowCallMilliseconds = 600
        configuration.kernelOptions.watchdogMilliseconds = 100
        configuration.timeouts.creationMilliseconds = 3000
        return try Machine(configuration)
    }
}

@Suite("A driver in C, in a bundle", .blocks, .enabled(if: TestBundle.hasCompiler))
struct DextHostTests {
    private func faults(_ log: DiagnosisLog) -> [DriverFault] {
        // It does not take the shared slots.
        log.diagnoses.map(\.fault).filter { $0 != .bundledModeDeclined }
    }

    /// Writes and reads something, and returns the ends of the requests.
    private func exercise(_ machine: Machine) throws -> [BlockError] {
        let device = machine.devices[0]
        let memory = device.arena.allocate(byteCount: 1 << 20)!
        defer { device.arena.free(memory) }
        for index in 0..<131_072 {
            memory.storeBytes(of: UInt8(truncatingIfNeeded: index &* 7), toByteOffset: index, as: UInt8.self)
        }
        var errors: [BlockError] = []
        func execute(_ operation: BlockRequest.Operation, _ byteCount: Int, _ buffer: UnsafeMutableRawPointer?) {
            errors.append(
                BlockingClient.execute(
                    BlockRequest(
                        operation: operation, tag: 0, byteOffset: 1 << 20, byteCount: UInt32(byteCount),
                        buffer: buffer), on: device))
        }
        execute(.write, 131_072, memory.baseAddress!)
        execute(.read, 131_072, memory.baseAddress! + 262_144)
        execute(.flush, 0, nil)
        if errors == [.none, .none, .none] {
            #expect(memcmp(memory.baseAddress!, memory.baseAddress! + 262_144, 131_072) == 0)
        }
        return errors
    }

    @Test("serves a disk, and nobody is accused", arguments: ["", "sleep", "timer", "foreign-thread", "large-memory"])
    func disk(habit: String) throws {
        let log = DiagnosisLog { _ in }
        let machine = try TestBundle.machine(habit: habit, log: log)
        #expect(machine.devices[0].info.description.contains("TESTS C bundle"))
        #expect(try exercise(machine) == [.none, .none, .none])
        try machine.stop()
        #expect(faults(log) == [])
    }

    @Test(
        "its mistakes are found as in Swift",
        arguments: [
            ("create-on-default", .createOnDefaultQueue), ("no-auxiliary-queue", .noAuxiliaryQueue),
            ("over-release", .overRelease), ("action-over-release", .overRelease),
            ("missing-retain", .missingRetain), ("wrong-call", .legacyTaskCompletedAsBundled),
            ("queue-name", .queueNameOnTaskEntry), ("cross", .queueCycle), ("crash", .interruptBeforeInitialization),
            ("crash-far-away", .driverCrash), ("killed", .driverCrash),
        ] as [(String, DriverFault)])
    func mistakes(habit: String, fault: DriverFault) throws {
        let log = DiagnosisLog { _ in }
        do {
            let machine = try TestBundle.machine(habit: habit, log: log)
            _ = try exercise(machine)
            machine.abandon()
        } catch {}
        #expect(faults(log).contains(fault), "\(log.diagnoses.map(\.summary))")
    }

    @Test("a service of the driver's own comes first, where the controller's personality waits for it")
    func bootstrap() throws {
        let log = DiagnosisLog { _ in }
        let machine = try TestBundle.machine(
            log: log,
            personalities: [
                "Boot": .dictionary(["IOUserClass": "TestBootstrap", "Mark": 7]),
                "Disk": .dictionary([
                    "IOUserClass": "TestDisk", "IOProviderClass": "IOUserService",
                    "IOPropertyMatch": .dictionary(["Mark": 7]),
                ]),
            ])
        #expect(try exercise(machine) == [.none, .none, .none])
        try machine.stop()
        #expect(faults(log) == [])
    }

    @Test("a bundle that cannot be used says what to do")
    func refusals() throws {
        func sentence(_ library: String, _ personalities: OSDictionary, habit: String = "") -> String {
            do {
                _ = try TestBundle.machine(
                    habit: habit, library: library, log: DiagnosisLog { _ in }, personalities: personalities)
                return ""
            } catch { return "\(error)" }
        }
        let disk: OSDictionary = ["Disk": .dictionary(["IOUserClass": "TestDisk"])]
        #expect(sentence(TestBundle.foreign, disk).contains("was built for another version"))
        #expect(sentence("/nowhere/x.so", disk).contains("cannot be loaded"))
        #expect(sentence(TestBundle.library, [:]).contains("has no personality with an IOUserClass"))
        #expect(
            sentence(TestBundle.library, ["A": .dictionary(["IOUserClass": "Nobody"])]).contains(
                "names no class of a SCSI controller (IOUserClass is Nobody)"))
        #expect(sentence(TestBundle.library, disk, habit: "fail-start").contains("Start returned 0xe00002bc"))
        #expect(sentence(TestBundle.library, disk, habit: "fail-init").contains("TestDisk::init returned false"))
    }
}
