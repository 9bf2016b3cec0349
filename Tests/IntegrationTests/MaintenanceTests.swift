import Foundation
import TestTraits
import Testing

/// Members that fail, leave, come and are rebuilt while clients are served by the real program.
@Suite("Maintenance of served arrays", .blocks, .slow, .enabled(if: Shell.has("nbdcopy", "fio", "qemu-io")))
struct MaintenanceTests {
    private func run(_ arguments: String...) throws -> Shell.Result { try Shell.run(nbdext, arguments) }

    /// fio, until it is told to end, on the part of an array from a byte on.
    private func startFio(_ array: ServedArray, offset: String, seconds: Int) throws -> Program {
        try array.startFio(
            ServedArray.verifying + [
                "--rw=randrw", "--bs=4k-64k", "--iodepth=8", "--offset=\(offset)", "--size=24M",
                "--verify_backlog=256", "--time_based", "--runtime=\(seconds)",
            ])
    }

    @Test(
        "a member fails under load, another one is rebuilt, and then the array does without a third",
        arguments: ["resync", "bitmap", "ppl"])
    func failAndRebuild(consistency: String) throws {
        let array = try ServedArray(level: 5, members: 4, creation: ["--consistency", consistency])
        try array.start()
        let data = try array.fill(mebibytes: 64)
        let fio = try startFio(array, offset: "64M", seconds: 8)
        #expect(try succeed("fail", array.arrayPath, "1").contains("member 1"))
        let degraded = try run("status", array.arrayPath)
        #expect(degraded.status == 1 && degraded.output.contains("degraded"), "\(degraded.output)")
        #expect(try succeed("add", array.arrayPath, "member-4.img").contains("rebuilt"))
        #expect(!(try succeed("status", array.arrayPath).contains("degraded")))
        #expect(try succeed("check", array.arrayPath).contains("right everywhere"))
        #expect(fio.wait() == 0, "fio found what it had not written")
        try succeed("fail", array.arrayPath, "3")
        try array.expect(data, "without member 3")
        #expect(array.stop() == 0)
        try array.removeMember(3)
        try array.start()
        try array.expect(data, "opened without member 3")
        #expect(array.stop() == 0)
    }

    @Test("a spare takes the place of a member that fails, and is one after a restart")
    func hotSpare() throws {
        let array = try ServedArray(level: 5, members: 3)
        try array.start()
        let data = try array.fill(mebibytes: 32)
        #expect(try succeed("add", array.arrayPath, "extra.img").contains("spare"))
        #expect(array.stop() == 0)
        #expect(try succeed("status", array.arrayPath).contains("spare  "))
        try array.start()
        #expect(try succeed("fail", array.arrayPath, "member-0.img").contains("member 0 of array is rebuilt"))
        #expect(try succeed("remove", array.arrayPath, "member-0.img").contains("not used"))
        try succeed("fail", array.arrayPath, "1")
        try array.expect(data, "from the spare")
        // What has left may come back, as an empty member.
        #expect(try succeed("add", array.arrayPath, "member-0.img").contains("member 1 of array is rebuilt"))
        try succeed("fail", array.arrayPath, "2")
        try array.expect(data, "from the one that came back")
        #expect(array.stop() == 0)
    }

    @Test(
        "a rebuild that a crash or a stop interrupts is completed when the array is opened again",
        arguments: [true, false])
    func resumes(crashes: Bool) throws {
        let array = try ServedArray(level: 5, members: 3, size: "512M", keepsErrors: true)
        try array.start()
        let data = try array.fill(mebibytes: 480)
        try succeed("fail", array.arrayPath, "0")
        let fio = try startFio(array, offset: "480M", seconds: 60)
        // A rebuild without clients is over at once.
        try array.waitForRequests()
        let add = try Program(nbdext, ["add", array.arrayPath, "new.img"])
        // Clients at work make it last; the first progress is durable after 3 s.
        var status = ""
        let isUnderWay = try eventually(everyMilliseconds: 50) {
            status = try run("status", array.arrayPath).output
            return status.contains("rebuilding, ") && !status.contains(" 0 % done")
        }
        #expect(isUnderWay, "\(status)")
        if crashes { array.kill() } else { #expect(array.stop() == 0) }
        fio.stop()
        #expect(add.wait() != 0)
        status = try run("status", array.arrayPath).output
        #expect(status.contains("degraded") && !status.contains(" 0 % done"), "\(status)")
        // A crash may have left a torn write that the missing member's data cannot be told from: fio's part.
        try array.start(crashes ? ["--force"] : [])
        try array.waitForStatus { !$0.contains("degraded") }
        try succeed("fail", array.arrayPath, "1")
        try array.expect(data, "without member 1")
        #expect(array.stop() == 0)
    }

    @Test("a member that comes back gets what was written without it, and nothing else")
    func readds() throws {
        // Regions of 64 MiB of each member, of which there are six.
        let array = try ServedArray(level: 5, members: 4, size: "1100M", creation: ["--consistency", "bitmap"])
        try array.start()
        let data = try array.fill(mebibytes: 96)
        // At rest no bit is set.
        #expect(array.stop() == 0)
        try array.start()
        try succeed("fail", array.arrayPath, "1")
        try array.qemuIO("write -P 7 600M 3M", "write -P 8 1000M 1M", "flush")
        let first = try succeed("add", array.arrayPath, "member-1.img")
        #expect(first.contains("it is re-added, 2 of 6 regions differ"), "\(first)")
        // 16 stripes and 6.
        #expect(first.contains("is re-added: 2 of 6 regions differed, 1408 KiB"), "\(first)")
        #expect(try succeed("check", array.arrayPath).contains("right everywhere"))
        // Again, after it was let go of and the server was started without it.
        try succeed("fail", array.arrayPath, "1")
        try succeed("remove", array.arrayPath, "member-1.img")
        #expect(array.stop() == 0)
        try array.start()
        try array.qemuIO("write -P 9 300M 1M", "flush")
        let second = try succeed("add", array.arrayPath, "member-1.img")
        #expect(second.contains("is re-added: 3 of 6 regions differed"), "\(second)")
        #expect(try succeed("check", array.arrayPath).contains("right everywhere"))
        try succeed("fail", array.arrayPath, "3")
        try array.expect(data, "without another member")
        try array.qemuIO("read -P 7 600M 3M", "read -P 8 1000M 1M", "read -P 9 300M 1M")
        #expect(array.stop() == 0)
    }

    @Test("a member whose place another one has had is rebuilt as a whole")
    func doesNotReadd() throws {
        let array = try ServedArray(level: 5, members: 3, creation: ["--consistency", "bitmap"])
        try array.start()
        try succeed("fail", array.arrayPath, "0")
        try succeed("remove", array.arrayPath, "member-0.img")
        let data = try array.fill(mebibytes: 32)
        try succeed("add", array.arrayPath, "new.img")
        // The array is whole, so the bits are forgotten; what left before cannot be told from the others by them.
        #expect(array.stop() == 0)
        try array.start()
        try succeed("fail", array.arrayPath, "new.img")
        let output = try succeed("add", array.arrayPath, "member-0.img")
        #expect(output.contains("all of it") && output.contains("member 0 of array is rebuilt"), "\(output)")
        try succeed("fail", array.arrayPath, "1")
        try array.expect(data, "from the old one")
        #expect(array.stop() == 0)
    }

    @Test("a check finds flipped bytes of parity, and a repair makes them right")
    func findsWrongParity() throws {
        let array = try ServedArray(level: 5, members: 3)
        try array.start()
        let data = try array.fill(mebibytes: 16)
        // The parity of stripe 0 is on the last member; its data begins 1 MiB into the file.
        let file = try #require(FileHandle(forUpdatingAtPath: "\(array.arrayPath)/member-2.img"))
        for offset in [UInt64(5000), 20_000] {
            try file.seek(toOffset: 1 << 20 + offset)
            let byte = try #require(try file.read(upToCount: 1)).first!
            try file.seek(toOffset: 1 << 20 + offset)
            try file.write(contentsOf: Data([byte ^ 0x10]))
        }
        let check = try run("check", array.arrayPath)
        #expect(check.status == 1)
        for offset in [1 << 20 + 4096, 1 << 20 + 16384] {
            #expect(
                check.output.contains("member 2 at byte \(offset); the stripe's data begins at byte 0 of"), "\(check)")
        }
        #expect(try succeed("repair", array.arrayPath).contains("now right in 2 blocks"))
        #expect(try succeed("check", array.arrayPath).contains("right everywhere"))
        try array.expect(data, "after the repair")
        #expect(array.stop() == 0)
    }

    @Test("a check that a crash or a stop interrupts goes on when the array is opened again", arguments: [true, false])
    func resumesChecks(crashes: Bool) throws {
        let array = try ServedArray(
            level: 5, members: 3, size: "512M", creation: ["--consistency", "bitmap"], keepsErrors: true)
        try array.start()
        _ = try array.fill(mebibytes: 510)
        // Bits of the bitmap are cleared, or else a crash would have all of it repaired.
        #expect(array.stop() == 0)
        let offsets = [UInt64(5000), 200 << 20]
        for offset in offsets {
            // The last of three stripes of 128 KiB has its parity on the first member.
            let stripe = offset / 65536 / 3 * 3 + 2
            let file = try #require(FileHandle(forUpdatingAtPath: "\(array.arrayPath)/member-0.img"))
            try file.seek(toOffset: 1 << 20 + stripe * 65536)
            let byte = try #require(try file.read(upToCount: 1)).first!
            try file.seek(toOffset: 1 << 20 + stripe * 65536)
            try file.write(contentsOf: Data([byte ^ 0x10]))
        }
        try array.start()
        let fio = try array.startFio(["--rw=randread", "--bs=4k", "--size=1M", "--time_based", "--runtime=120"])
        try array.waitForRequests()
        func startCheck() throws -> Program { try Program(nbdext, ["check", array.arrayPath]) }
        var check = try startCheck()
        // A client at work makes it last; its position is kept every 3 s. If the client was kept from its work, the
        // check was too quick, and there is another one.
        var record = ""
        let isKept = try eventually(everyMilliseconds: 20) {
            record = (try? String(contentsOfFile: "\(array.arrayPath)/.nbdext-job", encoding: .utf8)) ?? ""
            if record.contains("check ") && !record.contains("check 0 ") { return true }
            if !check.isRunning { check = try startCheck() }
            return false
        }
        #expect(isKept)
        // How far it is depends on how busy the client could keep the server: it may have found the other place too.
        #expect(record.contains("\nwrong 131072\n") || record.contains("\nwrong 131072 "), "\(record)")
        let status = ["status", array.arrayPath, "--json"]
        let running = try Shell.run(nbdext, status).output
        let job = "\"job\": {\"kind\": \"check\""
        #expect(running.contains(job) && running.contains("\"running\": true"), "\(running)")
        if crashes { array.kill() } else { #expect(array.stop() == 0) }
        fio.stop()
        check.wait()
        let left = try Shell.run(nbdext, status).output
        #expect(left.contains(job) && left.contains("\"running\": false"), "\(left)")
        try array.start()
        #expect(eventually(everyMilliseconds: 20) { array.errors.contains("found") })
        #expect(array.errors.contains("that was interrupted goes on at "), "\(array.errors)")
        #expect(!array.errors.contains("goes on at 0 %"), "\(array.errors)")
        #expect(array.errors.contains("found 8192 bytes of wrong parity"), "\(array.errors)")
        #expect(!FileManager.default.fileExists(atPath: "\(array.arrayPath)/.nbdext-job"))
        #expect(try Shell.run(nbdext, status).output.contains("\"job\": null"))
        #expect(array.stop() == 0)
    }

    @Test("a rebuild leaves what was sparse sparse")
    func staysSparse() throws {
        let array = try ServedArray(level: 5, members: 3, size: "8G")
        try array.start()
        try array.qemuIO("write -P 7 0 1M", "write -P 8 3G 512K", "write -P 9 7G 64K", "flush")
        func blocks(_ name: String) -> UInt64 {
            var information = stat()
            stat("\(array.arrayPath)/\(name)", &information)
            return UInt64(information.st_blocks) * 512
        }
        let before = blocks("member-1.img")
        try succeed("fail", array.arrayPath, "1")
        try succeed("add", array.arrayPath, "new.img")
        #expect(blocks("new.img") <= before + 128 << 10, "\(blocks("new.img")) bytes, and \(before) before")
        try succeed("fail", array.arrayPath, "0")
        try array.qemuIO("read -P 7 0 1M", "read -P 8 3G 512K", "read -P 9 7G 64K", "read -P 0 1M 1M")
        #expect(array.stop() == 0)
    }

    @Test("what cannot be done is refused with what to do")
    func refusals() throws {
        let array = try ServedArray(level: 5, members: 3)
        let path = array.arrayPath
        try array.start()
        func refused(_ part: String, _ arguments: String...) throws {
            let result = try Shell.run(nbdext, arguments)
            #expect(result.status != 0, "\(arguments)")
            #expect(result.errors.contains(part), "\(arguments): \(result.errors)")
        }
        try refused("has no member 7", "fail", path, "7")
        try refused("is in use", "remove", path, "1")
        try refused("a member of the array already", "add", path, "member-1.img")
        try refused("is not in", "add", path, "/tmp/elsewhere.img")
        try refused("no check, repair or replacement", "cancel", path)
        try refused("no server listens", "check", array.directory.path)
        _ = FileManager.default.createFile(atPath: path + "/small.img", contents: nil)
        try refused("needs", "add", path, "small.img")
        let other = Data(repeating: 1, count: 64 << 20)
        try other.write(to: URL(fileURLWithPath: path + "/notes.txt"))
        try refused("holds data", "add", path, "notes.txt")
        let foreign = try ServedArray(level: 5, members: 3)
        try FileManager.default.copyItem(atPath: foreign.arrayPath + "/member-0.img", toPath: path + "/.foreign")
        try FileManager.default.moveItem(atPath: path + "/.foreign", toPath: path + "/foreign.img")
        try refused("member of the array", "add", path, "foreign.img")
        try FileManager.default.removeItem(atPath: path + "/foreign.img")
        try succeed("fail", path, "2")
        try refused("failed already", "fail", path, "2")
        try refused("would be lost without member 0", "fail", path, "0")
        try refused("lacks a member", "check", path)
        #expect(array.stop() == 0)
        let striped = try ServedArray(level: 0, members: 2)
        try striped.start()
        try refused("would be lost", "fail", striped.arrayPath, "0")
        try refused("no parity", "check", striped.arrayPath)
        try refused("RAID 0", "add", striped.arrayPath, "x.img")
        #expect(striped.stop() == 0)
    }
}
