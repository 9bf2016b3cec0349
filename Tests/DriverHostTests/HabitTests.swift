import ArrayStore
import Diagnostics
import DriverHost
import Foundation
import Platform
import SCSIControllerDriverKit
import TestTraits
import Testing

extension DriverProcesses {
    @Suite("Drivers with bad habits", .serialized, .needsCore, .slow)
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

    @Test("one that keeps a call of the kernel's scan is ended in time")
    func keepsTarget() throws {
        let error = #expect(throws: DriverStartError.self) {
            try TestMachine(habit: "keep-target", isOnce: false) { $0.driverCallMilliseconds = 1000 }
        }
        #expect(error != nil)
        #expect(TestMachine.children().isEmpty)
    }

    @Test("one that completes a task and never returns from the call is ended in time, and every request succeeds")
    func noReply() throws {
        let machine = try TestMachine(habit: "no-reply", mode: .legacy) {
            $0.driverCallMilliseconds = 2000
            $0.kernelOptions.taskTimeoutMilliseconds = 60_000
        }
        #expect(machine.work() == 0)
        #expect(machine.log.count(of: .queueCycle) >= 1)
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    @Test(
        "one that destroys its target and creates it again, on three queues, keeps no request",
        arguments: [DriverMode.bundled, .legacy])
    func recreates(mode: DriverMode) throws {
        let machine = try TestMachine(habit: "recreate", mode: mode)
        // Requests fail that find no target. None is kept.
        for _ in 0..<10 { _ = machine.work(rounds: 2) }
        for child in TestMachine.children() { kill(child.process, SIGKILL) }
        // The next one finds the target, or creates it once more.
        #expect(eventually { machine.work(rounds: 1) == 0 })
        #expect(machine.work() == 0)
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    /// Also when the driver itself is killed, and they are nobody's children.
    @Test("what a driver has started ends with it, and the next one has other memory files")
    func descendants() throws {
        let machine = try TestMachine(habit: "fork")
        #expect(
            eventually {
                _ = machine.work(rounds: 1)
                return machine.log.count(of: .driverCrash) > 0 || members().count == 4
            })
        let driver = try #require(TestMachine.children().first?.process)
        let files = sharedFiles(driver)
        #expect(files.count == 2, "\(files)")
        let started = members()
        #expect(started.count == 4, "\(started)")
        kill(driver, SIGKILL)
        #expect(machine.work() == 0)
        #expect(eventually { started.allSatisfy { kill($0, 0) != 0 } })
        // One that is left would keep this process' files open.
        for process in started { kill(process, SIGKILL) }
        var next = driver
        let isThere = eventually {
            next = TestMachine.children().first?.process ?? driver
            return next != driver && sharedFiles(next).count == 2
        }
        #expect(isThere, "\(next) after \(driver)")
        #expect(sharedFiles(next).isDisjoint(with: files))
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    /// The processes of the driver's group.
    private func members() -> Set<pid_t> {
        guard let group = TestMachine.children().first?.process else { return [] }
        return Set(
            ((try? Directory.names(in: "/proc")) ?? []).compactMap { pid_t($0) }.filter { getpgid($0) == group })
    }

    /// The memory files that a driver could write into the next one's with, by number.
    private func sharedFiles(_ process: pid_t) -> Set<String> {
        // The kernel gives it a page at a time, and `String(contentsOfFile:)` takes the first part for all.
        let file = FileHandle(forReadingAtPath: "/proc/\(process)/maps")
        let maps = String(decoding: file?.readDataToEndOfFile() ?? Data(), as: UTF8.self)
        return Set(
            maps.split(separator: "\n").filter { $0.contains("nbdext-channel") || $0.contains("nbdext-responses") }
                .compactMap { $0.split(separator: " ").dropFirst(4).first.map(String.init) })
    }

    /// The arena is full of a client's data when a read of another one has none.
    @Test("one that answers reads without data shows nothing of what is in memory")
    func noData() throws {
        let machine = try TestMachine(habit: "no-data")
        #expect(machine.fill(0x5A) == 0)
        #expect(
            eventually {
                let (failed, foreign) = machine.readAll(finding: 0x5A)
                return failed > 0 && foreign == 0
            })
        #expect(machine.log.count(of: .writeNotExecuted) > 0)
        for child in TestMachine.children() { kill(child.process, SIGKILL) }
        #expect(eventually { machine.work(rounds: 1) == 0 })
        try machine.stop()
    }

    /// `scripts/hostile` does this for as long as one likes, also with the address sanitizer.
    @Test(
        "one that ends, or maps memory anew, while the card works on it harms nothing",
        arguments: ["own-memory", "remap", "foreign-windows"])
    func memoryInUse(habit: String) throws {
        let machine = try TestMachine(habit: habit) { $0.kernelOptions.taskTimeoutMilliseconds = 5000 }
        for death in 1...4 {
            // The next process has the habit again.
            if death > 1 { machine.hasHadHabit = false }
            for child in TestMachine.children() where death > 1 { kill(child.process, SIGKILL) }
            let before = machine.log.count(of: .driverCrash)
            var failed = 0
            let isOver = eventually {
                failed += machine.work(rounds: 2)
                return machine.hasHadHabit && machine.log.count(of: .driverCrash) > before
            }
            #expect(isOver && failed == 0, "\(habit), \(failed) failed")
        }
        #expect(machine.work() == 0)
        try machine.stop()
        let states = try ArrayStore.examine(directory: machine.directory).members.map(\.state)
        #expect(states.allSatisfy { $0 == states[0] } && !states.contains("failed"), "\(states)")
        #expect(TestMachine.children().isEmpty)
    }

    /// The server lives on, and serves again once the driver has been ended. Meanwhile anything may happen to the data,
    /// which the driver could write to.
    @Test(
        "one that attacks the server does not take it down",
        arguments: ["garbage", "registers", "slots", "messages", "files", "commands"], [DriverMode.bundled])
    func attacks(habit: String, mode: DriverMode) throws {
        let machine = try TestMachine(habit: habit, mode: mode)
        let isNamed = ["garbage", "slots", "messages"].contains(habit)
        let begin = monotonicMilliseconds()
        var rounds = 0
        while monotonicMilliseconds() < begin + 800 && rounds < 40
            || isNamed && machine.log.count(of: .slotMisuse) == 0 && rounds < 10_000
        {
            _ = machine.work(rounds: 1)
            rounds += 1
        }
        if habit == "messages" {
            let named = eventually { machine.log.diagnoses.contains { $0.detail.contains("named 1000 slots") } }
            #expect(named, "\(machine.log.diagnoses)")
        }
        for child in TestMachine.children() where machine.log.count(of: .driverCrash) == 0 {
            kill(child.process, SIGKILL)
        }
        #expect(eventually { machine.log.count(of: .driverCrash) >= 1 })
        // The new driver has no such habit.
        #expect(eventually { machine.work(rounds: 1) == 0 }, "\(habit)")
        #expect(machine.work() == 0)
        #expect(eventually { openFileCount(named: "nbdext-unwanted") == 0 })
        if isNamed { #expect(machine.log.count(of: .slotMisuse) > 0) }
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }
}
