import BlockStorage
import DriverHost
import HardwareBus
import ParallelInterface
import Platform
import TestTraits
import Testing

@testable import EmulatedMachine

extension DriverProcesses {
    @Suite("A machine that has stopped", .serialized, .needsCore, .slow)
    struct MachineLifeTests {}
}

extension DriverProcesses.MachineLifeTests {
    /// A machine's parts, for as long as somebody else holds them.
    private struct Parts {
        weak var controller: ParallelController?
        weak var device: BlockStorageDevice?
        weak var card: PCIFunction?
        weak var arena: DataArena?

        init(of machine: Machine) {
            controller = machine.controller
            device = machine.devices[0]
            card = machine.card
            arena = machine.devices[0].arena
        }

        var left: [String] {
            [
                controller == nil ? nil : "controller", device == nil ? nil : "device", card == nil ? nil : "card",
                arena == nil ? nil : "arena",
            ].compactMap { $0 }
        }
    }

    @Test("is freed with all its parts, its driver in this process", arguments: DriverMode.allCases)
    func inProcess(mode: DriverMode) throws { try check(mode) { $0.driver = nil } }

    @Test("is freed with all its parts, its driver in a process", arguments: [DriverMode.bundled, .legacy])
    func process(mode: DriverMode) throws { try check(mode) }

    @Test("is freed with all its parts when its start has failed")
    func failedStart() throws {
        let count = openFileCount(named: "nbdext-arena")
        #expect(throws: (any Error).self) {
            try TestMachine(habit: "mute", isOnce: false) { $0.timeouts.creationMilliseconds = 300 }
        }
        #expect(eventually { openFileCount(named: "nbdext-arena") == count })
    }

    private func check(_ mode: DriverMode, change: (inout MachineConfiguration) -> Void = { _ in }) throws {
        let parts: Parts
        do {
            let machine = try TestMachine(isOnce: false, mode: mode, change: change)
            #expect(machine.work() == 0)
            try machine.stop()
            parts = Parts(of: machine.machine)
        }
        #expect(eventually { parts.left.isEmpty }, "\(parts.left)")
    }
}
