import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// Several arrays as the logical units of one target.
@Suite("Logical units", .serialized, .blocks, .slow, .enabled(if: Shell.has("fio", "nbdinfo")))
struct LogicalUnitTests {
    private let directory = TemporaryDirectory()
    private var socket: String { directory.path + "/socket" }

    private func create(_ name: String, level: Int, members: Int) throws -> String {
        let path = "\(directory.path)/\(name)"
        let result = try Shell.run(
            nbdext, ["create", path, "--level", "\(level)", "--members", "\(members)", "--size", "48M"])
        #expect(result.status == 0, "\(result.errors)")
        return path
    }

    /// Serves arrays on one target, lets `body` work with them, and stops.
    /// - Returns: what the server has written to standard error.
    private func serve(_ arrays: [String], _ options: [String], _ body: () throws -> Void) throws -> String {
        let server = try Program(nbdext, ["serve"] + arrays + ["--luns", "--socket", socket] + options)
        try server.waitFor("ready: ")
        try #require(server.output.hasPrefix("ready: "), "\(server.said)")
        try body()
        #expect(server.stop() == 0)
        return server.errors
    }

    private func uri(_ export: String) -> String { "nbd+unix:///\(export)?socket=\(socket)" }

    /// Two jobs at a time, one for each logical unit: what one writes must not be found in the other.
    private func verify(_ more: [String] = []) throws {
        var arguments = [
            "--ioengine=nbd", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--rw=randwrite",
            "--bsrange=4k-96k", "--size=32m", "--iodepth=16",
        ]
        arguments += more
        for (name, seed) in [("a", 11), ("b", 12)] {
            arguments += ["--name=\(name)", "--uri=\(uri(name))", "--randseed=\(seed)"]
        }
        let result = try Shell.run("fio", arguments)
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }

    @Test(
        "are exports of their own",
        arguments: [
            ["--mode", "bundled"], ["--mode", "legacy"], ["--mode", "kext"],
            ["--mode", "bundled", "--driver-host", "process"],
        ])
    func exports(options: [String]) throws {
        let arrays = [try create("a", level: 5, members: 3), try create("b", level: 0, members: 2)]
        let trace = directory.path + "/trace"
        let errors = try serve(arrays, options + ["--trace", trace]) {
            let list = try Shell.run("nbdinfo", ["--list", uri("")])
            #expect(list.output.contains("export=\"a\"") && list.output.contains("export=\"b\""))
            #expect(list.output.contains("RAID 5, 3 members") && list.output.contains("RAID 0, 2 members"))
            try verify()
            let top = try Shell.run(nbdext, ["top", arrays[0], "--once", "--interval", "0.1"])
            #expect(top.output.contains("array a (target 0 LUN 0): RAID 5"), "\(top.output)\(top.errors)")
            #expect(top.output.contains("array b (target 0 LUN 1): RAID 0"))
        }
        #expect(!errors.contains("fault"), "\(errors)")
        let log = try String(contentsOfFile: trace, encoding: .utf8)
        #expect(log.contains("target 0 LUN 1 CDB") && !log.contains("target 1 "))
        _ = try serve(arrays, options) { try verify(["--verify_only"]) }
    }

    @Test("are found in the order in which they are named, with one target's tree in ioreg")
    func order() throws {
        let arrays = [try create("b", level: 0, members: 2), try create("a", level: 0, members: 2)]
        _ = try serve(arrays, []) {
            let top = try Shell.run(nbdext, ["top", arrays[0], "--once", "--interval", "0.1"])
            #expect(top.output.contains("array b (target 0 LUN 0)"))
            #expect(top.output.contains("array a (target 0 LUN 1)"))
        }
        let tree = try Shell.run(nbdext, ["ioreg", "--luns", "2"]).output
        #expect(tree.contains("IOSCSILogicalUnitNub@0") && tree.contains("IOSCSILogicalUnitNub@1"))
        #expect(tree.components(separatedBy: "class IOSCSITargetDevice").count == 2)
    }
}
