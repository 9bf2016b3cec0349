import ArrayStore
import BlockStorage
import DriverHost
import EmulatedMachine
import Foundation
import Platform
import TestTraits
import Testing

extension DriverProcesses {
    @Suite("Ending what a driver keeps waiting", .serialized, .needsCore, .slow)
    struct EndingTests {}
}

extension DriverProcesses.EndingTests {
    @Test(
        "a start is cancelled while its driver hangs in a call, or in the probe of its target",
        arguments: [("hang", "starting the driver"), ("mute", "waiting for the driver to create its targets")])
    func start(habit: String, step: String) throws {
        let startUp = StartUp()
        try OSThread(name: "cancel") {
            // Until the driver has got there.
            while !startUp.picture.hasPrefix(step) || TestMachine.children().isEmpty { usleep(20_000) }
            usleep(300_000)
            startUp.cancel()
        }.detach()
        let error = #expect(throws: (any Error).self) {
            try TestMachine(habit: habit, isOnce: false) {
                $0.startUp = startUp
                $0.kernelOptions.taskTimeoutMilliseconds = 600_000
            }
        }
        #expect(error != nil && startUp.isCancelled)
        #expect(TestMachine.children().isEmpty)
    }

    @Test("a driver that does not return from its Stop is ended, and its array is clean")
    func stop() throws {
        let machine = try TestMachine(habit: "stay", isOnce: false)
        #expect(machine.work(rounds: 1) == 0)
        let ended = try endSoon(machine)
        defer { ended.set() }
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
        #expect(try ArrayStore.examine(directory: machine.directory).stateText == "clean")
    }

    @Test(
        "what a driver does not answer fails when it is ended; its array is flushed without it, unless a cache has data",
        arguments: [0, 1 << 20])
    func requests(cacheByteCount: Int) throws {
        let machine = try TestMachine(habit: "deaf", isOnce: false) {
            $0.kernelOptions.taskTimeoutMilliseconds = 600_000
            $0.writeCacheByteCount = cacheByteCount
        }
        let ended = try endSoon(machine)
        defer { ended.set() }
        #expect(machine.work(rounds: 20) > 0)
        if cacheByteCount == 0 {
            try machine.stop()
        } else {
            #expect(throws: ArrayStoreError.self) { try machine.stop() }
        }
        #expect(TestMachine.children().isEmpty)
        let state = try ArrayStore.examine(directory: machine.directory).stateText
        #expect(state == (cacheByteCount == 0 ? "clean" : "dirty"))
    }

    @Test(
        "neither a call that never returns nor targets that come and go keep a stop waiting",
        arguments: [("no-reply", DriverMode.legacy), ("recreate", .legacy), ("recreate", .bundled)])
    func busy(habit: String, mode: DriverMode) throws {
        let machine = try TestMachine(habit: habit, isOnce: false, mode: mode) {
            $0.kernelOptions.taskTimeoutMilliseconds = 600_000
        }
        let ended = try endSoon(machine)
        defer { ended.set() }
        _ = machine.work(rounds: 20)
        try? machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    /// What a server does when a stop has waited for long enough, until it has ended.
    private func endSoon(_ machine: TestMachine) throws -> OneShotEvent {
        let machine = machine.machine!
        let ended = OneShotEvent()
        try OSThread(name: "end") {
            while !ended.wait(milliseconds: 100) { machine.endWaitingForDriver() }
        }.detach()
        return ended
    }
}
