import ArrayStore
import Diagnostics
import DriverHost
import EmulatedMachine
import HBAProfiles
import Members
import Platform
import TestSupport
import TestTraits
import Testing

@Suite("Detection does not depend on the scenario", .serialized, .needsCore)
struct DetectionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var mistake: Mistake
        var mode: DriverMode
        var testDescription: String { "\(mistake), \(mode)" }
    }

    static let cases = Mistake.allCases.flatMap { mistake in mistake.modes.map { Case(mistake: mistake, mode: $0) } }

    @Test("a mistake that begins with some command is named, and every request ends", arguments: cases)
    func detection(case one: Case) throws {
        let seed = SeededGenerator.seed
        var random = SeededGenerator(seed: seed)
        // The probe takes some twenty commands.
        UnreliableDriver.firstCommand = Int.random(in: 30...150, using: &random)
        UnreliableDriver.mistake = one.mistake
        let array = try TemporaryArray(level: .raid5)
        let log = DiagnosisLog { _ in }
        var configuration = MachineConfiguration(
            directories: [array.directory], mode: one.mode, profile: try HBAProfile(nameOrPath: "default"),
            policy: .strict, engine: MemberEngineKind.detect(), log: log)
        configuration.driverClass = UnreliableDriver.self
        configuration.kernelOptions.taskTimeoutMilliseconds = 150
        configuration.kernelOptions.recoveryGraceMilliseconds = 30
        configuration.kernelOptions.watchdogMilliseconds = 20
        let clock = DeadlineClock.standing()
        configuration.kernelOptions.clock = clock
        try clock.running {
            let machine = try Machine(configuration)
            #expect(log.diagnoses.map(\.summary) == [], "before the first mistake")
            var client = try RandomClient(device: machine.devices[0], seed: seed, clock: clock)
            var rounds = 0
            repeat {
                _ = client.runBatch(overlapping: true)
                rounds += 1
            } while log.diagnoses.isEmpty && rounds < 1000
            // The driver goes on as it does; so do its clients.
            _ = client.runBatch()
            client.close()
            machine.abandon()
        }
        #expect(
            log.count(of: one.mistake.fault) > 0,
            "\(log.diagnoses.map(\.summary)), seed \(seed), from command \(UnreliableDriver.firstCommand) on")
    }

    @Test("a driver that makes none of them is not blamed", arguments: [DriverMode.bundled, .legacy])
    func control(mode: DriverMode) throws {
        UnreliableDriver.firstCommand = .max
        let array = try TemporaryArray(level: .raid5)
        let log = DiagnosisLog { _ in }
        var configuration = MachineConfiguration(
            directories: [array.directory], mode: mode, profile: try HBAProfile(nameOrPath: "default"),
            policy: .strict, engine: MemberEngineKind.detect(), log: log)
        configuration.driverClass = UnreliableDriver.self
        let machine = try Machine(configuration)
        var client = try RandomClient(device: machine.devices[0], seed: SeededGenerator.seed)
        for _ in 0..<50 { #expect(client.runBatch(overlapping: true) == 0) }
        client.close()
        try machine.stop()
        #expect(log.diagnoses.map(\.summary) == [])
    }
}
