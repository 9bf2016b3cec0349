import Foundation
import Platform
import Statistics
import TestSupport
import TestTraits
import Testing

/// What is shown of an array is what a client would meet, whoever is asked.
@Suite(
    "States of served arrays", .blocks, .slow, .enabled(if: Shell.has("nbdkit", "qemu-io"), "nbdkit is not installed"))
struct StateTests {
    private let directory = TemporaryDirectory()

    private func export(_ name: String, _ arguments: [String] = ["memory", "64M"]) throws -> RemoteExport {
        try RemoteExport(socket: "\(directory.path)/\(name)", arguments)
    }

    private func array(_ exports: [RemoteExport], level: Int, size: String) throws -> ServedArray {
        try ServedArray(
            level: level, placing: exports.flatMap { ["--member", $0.uri] }, size: size, keepsErrors: true)
    }

    /// Waits until something is so, for minutes on a busy machine.
    private func wait(_ what: String, until isSo: () throws -> Bool) throws {
        for _ in 0..<6000 {
            if try isSo() { return }
            usleep(20_000)
        }
        Issue.record("it never came to be that \(what)")
    }

    private func status(_ path: String) throws -> Shell.Result { try Shell.run(nbdext, ["status", path]) }

    private func prometheus(_ path: String) throws -> String {
        try Shell.run(nbdext, ["top", path, "--prometheus"]).output
    }

    @Test("a RAID 0 array whose member is gone is failed before anybody asks something of it, and stays so")
    func raid0() throws {
        let exports = try ["a", "b"].map { try export($0) }
        let array = try array(exports, level: 0, size: "80M")
        try array.start()
        try array.qemuIO("write -P 1 0 1M")
        #expect(try status(array.arrayPath).status == 0)
        exports[1].kill()
        try wait("the array is failed") { try prometheus(array.arrayPath).contains("state=\"failed\"} 1") }
        #expect(try prometheus(array.arrayPath).contains("nbdext_member_missing{export=\"array\",member=\"1\"} 1"))
        #expect(array.errors.contains("RAID 0 cannot go on without it"), "\(array.errors)")
        let failed = try status(array.arrayPath)
        #expect(failed.status == 2)
        #expect(failed.output.contains("state    failed") && failed.output.contains("member 1 failed: it is lost: "))
        let top = try Shell.run(nbdext, ["top", array.arrayPath, "--once", "--interval", "0.1"]).output
        #expect(top.contains("RAID 0, failed, without member 1"), "\(top)")
        #expect(throws: ServedArray.Failure.self) { try array.qemuIO("write -P 2 0 64k") }
        try exports[1].start()
        try wait("the server is found again") { array.errors.contains("stays failed although") }
        #expect(!array.errors.contains("answers again"))
        #expect(try status(array.arrayPath).status == 2)
        _ = array.stop()
    }

    @Test("a RAID 5 array shows each member that it loses without being asked for anything")
    func raid5() throws {
        let exports = try ["a", "b", "c"].map { try export($0) }
        let array = try array(exports, level: 5, size: "80M")
        try array.start()
        for (index, expected) in [(0, "degraded"), (2, "failed")] {
            exports[index].kill()
            try wait("the array is \(expected)") {
                try prometheus(array.arrayPath).contains("state=\"\(expected)\"} 1")
            }
            let status = try status(array.arrayPath)
            #expect(status.status == (expected == "failed" ? 2 : 1))
            #expect(status.output.contains("state    \(expected)"), "\(status.output)")
        }
        #expect(throws: ServedArray.Failure.self) { try array.qemuIO("read 0 64k") }
        _ = array.stop()
    }

    @Test("a server that hangs does not keep an array from being served, nor anybody from looking at it")
    func hanging() throws {
        let exports = try ["a", "b", "c"].map { try export($0) }
        let array = try array(exports, level: 5, size: "80M")
        exports[1].setStopped(true)
        defer { exports[1].setStopped(false) }
        try array.start()
        #expect(array.errors.contains("\(exports[1].uri) is left out: not reachable"), "\(array.errors)")
        let status = try status(array.arrayPath)
        #expect(status.status == 1)
        #expect(status.output.contains("\(exports[1].uri)") && status.output.contains("served   by process"))
        try array.qemuIO("write -P 1 0 1M", "read -P 1 0 1M")
        // One that begins to hang while the array is served has clients wait, and nobody else.
        exports[2].setStopped(true)
        defer { exports[2].setStopped(false) }
        let now = try Shell.run(nbdext, ["status", array.arrayPath])
        #expect(now.status == 1 && now.output.contains("served   by process"), "\(now.output)\(now.errors)")
        array.kill()
    }

    @Test("a rebuild that meets what cannot be read says where, and why it ended")
    func unreadable() throws {
        let trigger = directory.path + "/trigger"
        let bad = try export(
            "a",
            [
                "--filter=error", "memory", "64M", "error-pread=EIO", "error-pread-rate=100%",
                "error-pread-file=\(trigger)",
            ])
        let exports = try [bad, export("b"), export("c")]
        let array = try array(exports, level: 5, size: "32M")
        try array.start()
        try array.qemuIO("write -P 1 0 32M")
        #expect(try Shell.run(nbdext, ["fail", array.arrayPath, "2"]).status == 0)
        #expect(FileManager.default.createFile(atPath: trigger, contents: nil))
        let add = try Shell.run(nbdext, ["add", array.arrayPath, "new.img"])
        #expect(add.status != 0)
        for text in [add.errors, array.errors] {
            #expect(text.contains("of member 0 (\(bad.uri)) cannot be read"), "\(text)")
            #expect(text.contains("there is no copy of bytes 0 to ") && text.contains(" of the array"), "\(text)")
            #expect(!text.contains("a member failed"), "\(text)")
        }
        let status = try status(array.arrayPath)
        #expect(status.status == 1 && status.output.contains("cannot be read"), "\(status.output)")
        try FileManager.default.removeItem(atPath: trigger)
        _ = array.stop()
    }

    @Test(
        "a member file that is deleted or replaced is noticed, told, and can be added back by its name",
        arguments: [true, false])
    func deleted(isReplaced: Bool) throws {
        let array = try ServedArray(level: 5, members: 3, keepsErrors: true)
        try array.start()
        try array.qemuIO("write -P 1 0 8M")
        let path = "\(array.arrayPath)/member-1.img"
        if isReplaced {
            #expect(FileManager.default.createFile(atPath: path + ".new", contents: nil))
            #expect(rename(path + ".new", path) == 0)
        } else {
            try array.removeMember(1)
        }
        let words = isReplaced ? "was replaced by another one" : "was deleted"
        try wait("it is noticed") { array.errors.contains("member 1 of array failed") }
        #expect(
            array.errors.components(separatedBy: "member 1 of array, \(path), \(words)").count == 2, "\(array.errors)")
        let degraded = try status(array.arrayPath)
        #expect(degraded.status == 1)
        #expect(degraded.output.contains("member 1 failed: its file \(words)"), "\(degraded.output)")
        let top = try Shell.run(nbdext, ["top", array.arrayPath, "--once", "--interval", "0.1"]).output
        #expect(top.contains("degraded, without member 1"), "\(top)")
        if isReplaced { try FileManager.default.removeItem(atPath: path) }
        let add = try Shell.run(nbdext, ["add", array.arrayPath, "member-1.img"])
        #expect(add.status == 0, "\(add.errors)")
        #expect(try status(array.arrayPath).status == 0)
        #expect(try Shell.run(nbdext, ["fail", array.arrayPath, "0"]).status == 0)
        try array.qemuIO("read -P 1 0 8M")
        // The last copy of data goes on being used.
        try array.removeMember(2)
        try wait("it is told") { array.errors.contains("array cannot do without it") }
        try array.qemuIO("read -P 1 0 8M", "write -P 2 0 1M", "read -P 2 0 1M")
        #expect(try status(array.arrayPath).output.contains("member 2 active, but its file was deleted"))
        #expect(array.stop() == 0)
    }
}
