import ArrayStore
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

extension DriverProcesses {
    @Suite("What is given as a driver's program", .serialized, .needsCore, .slow)
    struct ProgramTests {}
}

extension DriverProcesses.ProgramTests {
    private func start(
        _ program: String, _ arguments: [String] = [], callMilliseconds: Int = 60_000, preloaded: String? = nil
    ) -> String {
        let log = DiagnosisLog { _ in }
        do {
            let machine = try machine(program, arguments, log) {
                $0.driverCallMilliseconds = callMilliseconds
                $0.driver?.preloaded = preloaded
            }
            try machine.stop()
            return "started"
        } catch {
            #expect(log.diagnoses.map(\.summary) == [], "a program that is no driver has no driver's faults")
            return "\(error)"
        }
    }

    private func machine(
        _ program: String, _ arguments: [String], _ log: DiagnosisLog, directories: [String] = [],
        change: (inout MachineConfiguration) -> Void = { _ in }
    ) throws -> Machine {
        var configuration = MachineConfiguration(
            directories: directories, mode: .bundled, profile: try HBAProfile(nameOrPath: "default"), policy: .strict,
            engine: MemberEngineKind.detect(), log: log)
        configuration.driver = DriverProgram(path: program, arguments: arguments)
        change(&configuration)
        return try Machine(configuration)
    }

    @Test("a program that ends without being a driver is named at once, with how it ended")
    func otherProgram() {
        let text = "/bin/true is not a driver: it exited with status 0 and did not call DriverKitMain"
        #expect(start("/bin/true").hasSuffix(text))
        #expect(start("/bin/false").contains("/bin/false is not a driver: it exited with status 1"))
    }

    @Test("a sanitizer's runtime with which the program does not come to its main function is named")
    func brokenRuntime() {
        let said = start("/bin/false", preloaded: "/lib/runtime.so")
        #expect(said.contains("with /lib/runtime.so: this runtime of a sanitizer does not work here"), "\(said)")
    }

    @Test("a program that goes on without being a driver is named")
    func lastingProgram() {
        #expect(start("/bin/sleep", ["1000"], callMilliseconds: 300).contains("/bin/sleep is not a driver"))
    }

    @Test("what cannot be started is one sentence each")
    func noProgram() throws {
        let directory = TemporaryDirectory()
        let plain = directory.path + "/plain"
        try "text".write(toFile: plain, atomically: true, encoding: .utf8)
        #expect(start(directory.path + "/none").contains("none does not exist"))
        #expect(start(directory.path).contains("is a directory"))
        #expect(start(plain).contains("plain may not be executed"))
        chmod(plain, 0o755)
        #expect(start(plain).contains("plain is not a program for this machine"))
        // A program for another machine: the head of an ELF file for SPARC.
        let head: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 2, 1] + Array(repeating: 0, count: 9) + [0, 2, 0, 43]
        try Data(head + Array(repeating: 0, count: 100)).write(to: URL(fileURLWithPath: plain))
        #expect(start(plain).contains("plain is not a program for this machine"))
        try "#!/no/such/interpreter\n".write(toFile: plain, atomically: false, encoding: .utf8)
        #expect(start(plain).contains("its interpreter or loader is missing"))
    }

    @Test("a driver that lets the kernel look for targets is not accused for IDs without one")
    func scan() throws {
        let log = DiagnosisLog { _ in }
        let machine = try machine(TestMachine.driver, ["scanned"], log)
        #expect(machine.addresses.map(\.targetID) == [0])
        #expect(!machine.controller.isTargetPresent(1))
        try machine.stop()
        #expect(log.diagnoses.map(\.fault) == [.bundledModeDeclined])
    }

    @Test("a driver with a disk of its own is not served under an array's name")
    func ownDisk() throws {
        let log = DiagnosisLog { _ in }
        let machine = try machine(TestMachine.driver, ["software"], log)
        #expect(machine.devices.count == 1)
        try machine.stop()
        let array = try TemporaryArray(name: "own", byteCount: 32 << 20)
        let error = #expect(throws: (any Error).self) {
            try self.machine(TestMachine.driver, ["software"], log, directories: [array.directory])
        }
        #expect("\(error!)".contains("the driver brings a disk of its own"), "\(error!)")
    }
}
