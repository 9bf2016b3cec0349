import Diagnostics
import DriverHost
import Glibc
import Platform
import SCSIControllerDriverKit
import TestTraits
import Testing

extension DriverProcesses {
    @Suite("Drivers with bad habits", .serialized, .needsCore)
    struct HabitTests {}
}

extension DriverProcesses.HabitTests {
    @Test("one that exits while it starts is named with the call")
    func exits() throws {
        let error = #expect(throws: DriverStartError.self) { try TestMachine(habit: "exit", isOnce: false) }
        #expect(error?.call == "UserStartController")
        #expect(error?.reason.contains("exited with status 3") == true, "\(String(describing: error))")
        #expect(TestMachine.children().isEmpty)
    }

    @Test("one that does not return while it starts is given up in time")
    func hangs() throws {
        let error = #expect(throws: DriverStartError.self) {
            try TestMachine(habit: "hang", isOnce: false) { $0.driverCallMilliseconds = 1000 }
        }
        #expect(error?.call == "UserInitializeController")
        #expect(error?.reason.contains("has not returned for 1 s") == true, "\(String(describing: error))")
        #expect(TestMachine.children().isEmpty)
    }

    @Test("one that traps now and then is started again, and every request succeeds")
    func traps() throws {
        let machine = try TestMachine(habit: "trap", isOnce: false)
        #expect(machine.work(rounds: 20) == 0)
        #expect(machine.log.count(of: .driverCrash) >= 1)
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    /// The server lives on, and serves again once the driver has been ended. Meanwhile anything may happen to the data,
    /// which the driver could write to.
    @Test(
        "one that attacks the server does not take it down",
        arguments: ["garbage", "registers", "slots", "files", "commands"], [DriverMode.bundled])
    func attacks(habit: String, mode: DriverMode) throws {
        let machine = try TestMachine(habit: habit, mode: mode)
        let isNamed = habit == "garbage" || habit == "slots"
        let begin = monotonicMilliseconds()
        var rounds = 0
        while monotonicMilliseconds() < begin + 800 && rounds < 40
            || isNamed && machine.log.count(of: .slotMisuse) == 0 && rounds < 10_000
        {
            _ = machine.work(rounds: 1)
            rounds += 1
        }
        for child in TestMachine.children() where machine.log.count(of: .driverCrash) == 0 {
            kill(child.process, SIGKILL)
        }
        #expect(eventually { machine.log.count(of: .driverCrash) >= 1 })
        // The new driver has no such habit.
        #expect(eventually { machine.work(rounds: 1) == 0 }, "\(habit)")
        #expect(machine.work() == 0)
        #expect(eventually { openFileCount(named: machine.marker) == 0 })
        if isNamed { #expect(machine.log.count(of: .slotMisuse) > 0) }
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }
}
