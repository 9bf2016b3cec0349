import ArrayStore
import Diagnostics
import DriverHost
import EmulatedMachine
import HBAProfiles
import MDFormat
import Members
import Platform
import RAID
import Synchronization
import TestSupport
import TestTraits
import Testing

@Suite("The reference driver is clean", .serialized, .needsCore, .slow)
struct CleanDriverTests {
    private static let clientCount = 4

    @Test("under overlapping requests of all kinds", arguments: DriverMode.allCases, [RAIDLevel.raid0, .raid5])
    func sound(mode: DriverMode, level: RAIDLevel) throws {
        try run(mode, TemporaryArray(level: level), milliseconds: 1000)
    }

    @Test("with a member missing", arguments: DriverMode.allCases)
    func degraded(mode: DriverMode) throws {
        let array = try TemporaryArray(level: .raid5)
        array.removeMember()
        try run(mode, array, milliseconds: 500)
    }

    @Test("with the card's write cache", arguments: DriverMode.allCases, [RAIDLevel.raid0, .raid5])
    func cached(mode: DriverMode, level: RAIDLevel) throws {
        try run(mode, TemporaryArray(level: level), milliseconds: 500) { $0.writeCacheByteCount = 256 << 10 }
    }

    @Test("with two logical units on one target", arguments: DriverMode.allCases)
    func logicalUnits(mode: DriverMode) throws {
        let arrays = [try TemporaryArray(level: .raid5, name: "a"), try TemporaryArray(level: .raid0, name: "b")]
        try run(mode, arrays[0], and: arrays[1], milliseconds: 1000) { $0.sharesTarget = true }
    }

    /// Lets several clients work for a while, and looks whether anybody complained.
    private func run(
        _ mode: DriverMode, _ array: TemporaryArray, and other: TemporaryArray? = nil, milliseconds: UInt64,
        change: (inout MachineConfiguration) -> Void = { _ in }
    ) throws {
        let seed = SeededGenerator.seed
        let log = DiagnosisLog { _ in }
        var configuration = MachineConfiguration(
            directories: [array.directory] + (other.map { [$0.directory] } ?? []), mode: mode,
            profile: try HBAProfile(nameOrPath: mode == .kext ? "kext-512k" : "default"), policy: .strict,
            engine: MemberEngineKind.detect(), log: log)
        // Let it look often; the limits themselves are those of a server.
        configuration.kernelOptions.watchdogMilliseconds = 10
        change(&configuration)
        let machine = try Machine(configuration)
        let failures = Atomic<Int>(0)
        let batches = Atomic<Int>(0)
        let end = monotonicMilliseconds() + milliseconds
        let threads = try (0..<Self.clientCount).map { index in
            let client = try RandomClient(
                device: machine.devices[index % machine.devices.count], seed: seed &+ UInt64(index) &* 1000)
            let done = OneShotEvent()
            try OSThread(name: "client \(index)") {
                var client = client
                repeat {
                    failures.add(client.runBatch(), ordering: .relaxed)
                    batches.add(1, ordering: .relaxed)
                } while monotonicMilliseconds() < end
                client.close()
                done.set()
            }.detach()
            return done
        }
        for thread in threads { thread.wait() }
        try machine.stop()
        #expect(log.diagnoses.map(\.summary) == [], "seed \(seed)")
        #expect(failures.load(ordering: .relaxed) == 0, "seed \(seed)")
        #expect(batches.load(ordering: .relaxed) >= Self.clientCount)
    }
}
