import Diagnostics
import DriverHost
import Foundation
import Platform
import TestTraits
import Testing

@testable import ParallelInterface

/// One at a time: the tests look at the processes that they have started.
@Suite(.serialized)
struct DriverProcesses {}

extension DriverProcesses {
    @Suite("A driver in a process of its own", .serialized, .needsCore, .slow)
    struct ProcessTests {}
}

extension DriverProcesses.ProcessTests {
    @Test(
        "gets its files and its variables, and nothing else of the server's", arguments: [DriverMode.bundled, .legacy])
    func inheritance(mode: DriverMode) throws {
        let machine = try TestMachine(isOnce: false, mode: mode)
        #expect(machine.work() == 0)
        let process = try #require(TestMachine.children().first?.process)
        let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").compactMap { Int($0) }
        #expect(Set(files).isSubset(of: Set(0...5)), "\(files.map { linkTarget("/proc/\(process)/fd/\($0)") })")
        let variables = try Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/environ")).split(separator: 0)
            .map { String(decoding: $0.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self) }
        #expect(
            Set(variables).isSubset(of: ["NBDEXT_DRIVER_ARENA", "PATH", "LD_LIBRARY_PATH", "SWIFT_BACKTRACE"]),
            "\(variables)")
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
        #expect(machine.log.diagnoses.isEmpty, "\(machine.log.diagnoses)")
    }

    @Test(
        "may have another user's rights", .enabled(if: geteuid() == 0, "only root may start it so"),
        .enabled(if: SystemUser(name: "nobody") != nil, "there is no user nobody"))
    func otherUser() throws {
        let nobody = try #require(SystemUser(name: "nobody"))
        let machine = try TestMachine(isOnce: false) { $0.driver?.user = nobody }
        #expect(machine.work() == 0)
        let process = try #require(TestMachine.children().first?.process)
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let ids = { (name: String) in
            Set(
                status.split(separator: "\n").first { $0.hasPrefix(name) }?.split(whereSeparator: \.isWhitespace)
                    .dropFirst() ?? [])
        }
        #expect(
            ids("Uid:") == ["\(nobody.user)"] && ids("Gid:") == ["\(nobody.group)"] && ids("Groups:").isEmpty,
            "\(status)")
        #expect(ids("CapPrm:") == ["0000000000000000"])
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    @Test("leaves no file behind when it is started again")
    func nothingIsLeft() throws {
        let machine = try TestMachine()
        #expect(machine.work() == 0)
        let files = ["nbdext-driver", "nbdext-channel"].map { openFileCount(named: $0) }
        for _ in 0..<10 {
            let old = try #require(TestMachine.children().first?.process)
            kill(old, SIGKILL)
            #expect(machine.work(rounds: 2) == 0)
            #expect(eventually { TestMachine.children().first.map { $0.process != old } == true })
        }
        #expect(machine.work() == 0)
        #expect(eventually { ["nbdext-driver", "nbdext-channel"].map { openFileCount(named: $0) } == files })
        #expect(TestMachine.children().count == 1)
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    @Test("that ends without a task is reported without a list of tasks")
    func idleDeath() throws {
        let machine = try TestMachine()
        kill(try #require(TestMachine.children().first?.process), SIGKILL)
        #expect(eventually { machine.log.count(of: .driverCrash) == 1 })
        let picture = try #require(machine.log.diagnoses.first { $0.fault == .driverCrash }).picture
        #expect(picture.first == "last messages, oldest first:" && picture.count > 1, "\(picture)")
        #expect(!picture.contains("tasks that it had:"), "\(picture)")
        try machine.stop()
    }

    @Test("is seen to go on, however many calls one piece of the queue's work has")
    func callsAreNoted() throws {
        let machine = try TestMachine(mode: .legacy)
        let hosted = machine.machine.controller.parts.host.hosted
        let queue = try #require(hosted.context.queues.first { $0.name == "Submission" })
        let (turns, tasks) = (queue.turnCount, hosted.bundles.snapshot().taskCount)
        #expect(machine.work() == 0)
        let taskCount = hosted.bundles.snapshot().taskCount - tasks
        #expect(taskCount >= 64)
        #expect(Int(queue.turnCount - turns) >= taskCount)
        try machine.stop()
    }

    @Test("that stands still is ended and started again", arguments: [DriverMode.bundled, .legacy])
    func standsStill(mode: DriverMode) throws {
        let clock = DeadlineClock.standing()
        let machine = try TestMachine(mode: mode) { $0.kernelOptions.clock = clock }
        for _ in 0..<2 {
            let process = try #require(TestMachine.children().first?.process)
            kill(process, SIGSTOP)
            let isEnded = OneShotEvent()
            try OSThread(name: "time") {
                // Only while the process stands still: nothing that its successor does is late.
                _ = eventually {
                    clock.push(byMilliseconds: 50)
                    return kill(process, 0) != 0
                }
                isEnded.set()
            }.detach()
            #expect(machine.work() == 0)
            isEnded.wait()
            #expect(TestMachine.children().map(\.process) != [process])
        }
        #expect(machine.log.count(of: .driverCrash) == 2)
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }

    @Test("may die while the server stops, or just before", arguments: 0..<12)
    func deathAndStop(turn: Int) throws {
        let machine = try TestMachine(mode: turn % 2 == 0 ? .bundled : .legacy)
        let process = try #require(TestMachine.children().first?.process)
        // From the moment of death over the pause and the new start to the time when all is well again.
        kill(process, SIGKILL)
        usleep(UInt32(turn) * 8000)
        machine.machine.abandon()
        #expect(TestMachine.children().isEmpty)
    }

    @Test("that dies as soon as it runs is started again each time")
    func deathsInARow() throws {
        let machine = try TestMachine()
        var deaths = 0
        var last: pid_t = 0
        #expect(
            eventually {
                if let process = TestMachine.children().first?.process, process != last {
                    last = process
                    usleep(UInt32.random(in: 0...20_000))
                    kill(process, SIGKILL)
                    deaths += 1
                }
                return deaths == 4
            })
        #expect(machine.work() == 0)
        try machine.stop()
        #expect(TestMachine.children().isEmpty)
    }
}
