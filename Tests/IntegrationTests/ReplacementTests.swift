import Foundation
import TestTraits
import Testing

/// Members that are replaced while clients are served by the real program.
@Suite("Replacements in served arrays", .blocks, .slow, .enabled(if: Shell.has("nbdcopy", "fio")))
struct ReplacementTests {
    @Test(
        "a member is replaced under load, the array being whole all the time, and then does without another one",
        arguments: ["resync", "bitmap", "ppl"])
    func underLoad(consistency: String) throws {
        let array = try ServedArray(level: 5, members: 4, creation: ["--consistency", consistency])
        try array.start()
        let data = try array.fill(mebibytes: 64)
        let fio = try array.startFio(
            ServedArray.verifying + [
                "--rw=randrw", "--bs=4k-64k", "--iodepth=8", "--offset=64M", "--size=24M", "--verify_backlog=256",
                "--time_based", "--runtime=8",
            ])
        try array.waitForRequests()
        #expect(try succeed("replace", array.arrayPath, "1", "new.img").contains("member 1 of array is replaced"))
        // Once more, onto a spare.
        try succeed("remove", array.arrayPath, "member-1.img")
        try succeed("add", array.arrayPath, "spare.img")
        #expect(try succeed("replace", array.arrayPath, "new.img").contains("is replaced"))
        #expect(try succeed("check", array.arrayPath).contains("right everywhere"))
        #expect(fio.wait() == 0, "fio found what it had not written")
        let status = try succeed("status", array.arrayPath)
        #expect(status.contains("member 1 active  \(array.arrayPath)/spare.img"), "\(status)")
        #expect(status.contains("member - failed  \(array.arrayPath)/new.img"), "\(status)")
        try succeed("fail", array.arrayPath, "3")
        try array.expect(data, "without member 3")
        #expect(array.stop() == 0)
        for name in ["new.img", "member-1.img", "member-3.img"] {
            try FileManager.default.removeItem(atPath: "\(array.arrayPath)/\(name)")
        }
        try array.start()
        try array.expect(data, "opened without the replaced members and member 3")
        #expect(array.stop() == 0)
    }

    @Test(
        "a replacement that a crash or a stop interrupts goes on when the array is opened again",
        arguments: [true, false]
    )
    func resumes(crashes: Bool) throws {
        // With clients at work the copy takes 15 s at the least.
        let array = try ServedArray(level: 5, members: 3, size: "1G", keepsErrors: true)
        try array.start()
        let data = try array.fill(mebibytes: 960)
        try array.replaceSlowly("0", by: "new.img") {
            // The first progress is durable after 3 s.
            if crashes { try array.waitForStatus { $0.contains("replacing") && !$0.contains(" 0 % done") } }
            if crashes { array.kill() } else { #expect(array.stop() == 0) }
        }
        let status = try succeed("status", array.arrayPath)
        #expect(status.contains("replacing member 0, ") && !status.contains(" 0 % done"), "\(status)")
        #expect(!status.contains("degraded"), "\(status)")
        // Nothing is missing, so nothing has to be forced.
        try array.start()
        try array.waitForStatus { !$0.contains("replacing") }
        #expect(try succeed("check", array.arrayPath).contains("right everywhere"))
        try succeed("fail", array.arrayPath, "1")
        try array.expect(data, "without member 1")
        #expect(
            try Shell.run(nbdext, ["status", array.arrayPath]).output.contains(
                "member 0 active  \(array.arrayPath)/new.img"))
        #expect(array.stop() == 0)
    }

    @Test("a replacement can be given up, and is a rebuild from where it is when the old member fails")
    func ends() throws {
        let array = try ServedArray(level: 5, members: 3, size: "256M", keepsErrors: true)
        try array.start()
        let data = try array.fill(mebibytes: 240)
        try array.replaceSlowly("0", by: "new.img") {
            let refused = try Shell.run(nbdext, ["fail", array.arrayPath, "new.img"])
            #expect(refused.status != 0 && refused.errors.contains("nbdext cancel"), "\(refused.errors)")
            try succeed("cancel", array.arrayPath)
        }
        var status = try succeed("status", array.arrayPath)
        #expect(status.contains("member - spare  \(array.arrayPath)/new.img"), "\(status)")
        #expect(status.contains("member 0 active  \(array.arrayPath)/member-0.img"), "\(status)")
        try array.replaceSlowly("0", by: "new.img") {
            let before = array.errors
            try succeed("fail", array.arrayPath, "0")
            #expect(
                !before.contains("rebuilt onto") && array.errors.contains("member 0 of array is being rebuilt onto"))
        }
        try array.waitForStatus { !$0.contains("rebuilding") }
        status = try succeed("status", array.arrayPath)
        #expect(status.contains("member 0 active  \(array.arrayPath)/new.img"), "\(status)")
        #expect(try succeed("check", array.arrayPath).contains("right everywhere"))
        try succeed("fail", array.arrayPath, "1")
        try array.expect(data, "without member 1")
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
        try refused("has no spare", "replace", path, "1")
        try refused("has no member 7", "replace", path, "7", "new.img")
        try refused("a member of the array already", "replace", path, "1", "member-2.img")
        try refused("is not in", "replace", path, "1", "/tmp/elsewhere.img")
        try refused("no check, repair or replacement", "cancel", path)
        try succeed("fail", path, "2")
        try refused("lacks a member", "replace", path, "1", "new.img")
        #expect(!FileManager.default.fileExists(atPath: "\(path)/new.img"))
        #expect(array.stop() == 0)
        let striped = try ServedArray(level: 0, members: 2)
        try striped.start()
        try refused("RAID 0", "replace", striped.arrayPath, "0", "x.img")
        #expect(striped.stop() == 0)
    }
}
