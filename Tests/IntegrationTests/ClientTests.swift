import Foundation
import TestTraits
import Testing

/// A shape and a mode that the clients are run against.
struct Setup: CustomTestStringConvertible, Sendable {
    var level: Int
    var mode: String
    var isProcess = false
    var testDescription: String { "RAID \(level), \(mode)\(isProcess ? ", driver in a process" : "")" }
    var members: Int { level == 5 ? 4 : 2 }

    static let all =
        ["bundled", "legacy", "kext"].flatMap { mode in
            [0, 5].map { Setup(level: $0, mode: mode) }
        } + ["bundled", "legacy"].map { Setup(level: 5, mode: $0, isProcess: true) }
}

@Suite("Real clients", .serialized, .blocks, .slow)
struct ClientTests {
    private func serve(_ setup: Setup, _ options: [String] = []) throws -> ServedArray {
        let array = try ServedArray(
            level: setup.level, members: setup.members,
            options: ["--mode", setup.mode] + (setup.isProcess ? ["--driver-host", "process"] : []) + options)
        try array.start()
        return array
    }

    @Test("nbdinfo sees the export", .enabled(if: Shell.has("nbdinfo"), "nbdinfo is not installed"))
    func info() throws {
        let array = try serve(Setup(level: 5, mode: "bundled"))
        let result = try Shell.run("nbdinfo", ["--json", array.uri])
        #expect(result.status == 0)
        for expected in [
            "\"export-size\": 100663296", "\"can_multi_conn\": true", "\"can_fua\": true", "\"can_trim\": true",
            "\"can_zero\": true", "\"structured\": true", "\"block_size_minimum\": 1",
            "\"block_size_maximum\": 33554432", "\"block_size_preferred\": 65536",
            "\"description\": \"RAID 5, 4 members",
        ] {
            #expect(result.output.contains(expected), "\(expected) is missing in \(result.output)")
        }
        let list = try Shell.run("nbdinfo", ["--list", array.uri])
        #expect(list.output.contains("export=\"array\""))
        #expect(try Shell.run("nbdinfo", ["nbd+unix:///nonesuch?socket=\(array.socket)"]).status != 0)
        #expect(array.stop() == 0)
    }

    @Test("nbdcopy in and out", .enabled(if: Shell.has("nbdcopy"), "nbdcopy is not installed"), arguments: Setup.all)
    func copy(setup: Setup) throws {
        let array = try serve(setup)
        let source = array.directory.path + "/source"
        let copy = array.directory.path + "/copy"
        var generator = SystemRandomNumberGenerator()
        var data = Data(count: 96 << 20)
        data.withUnsafeMutableBytes { bytes in
            let words = bytes.bindMemory(to: UInt64.self)
            for index in words.indices where index % 4096 < 3000 { words[index] = generator.next() }
        }
        try data.write(to: URL(fileURLWithPath: source))
        #expect(try Shell.run("nbdcopy", ["--flush", source, array.uri]).status == 0)
        #expect(try Shell.run("nbdcopy", [array.uri, copy]).status == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == data)
        #expect(array.stop() == 0)
    }

    @Test(
        "qemu-io at odd offsets, with discards and zeroes",
        .enabled(if: Shell.has("qemu-io"), "qemu-io is not installed"), arguments: Setup.all)
    func qemuIO(setup: Setup) throws {
        let array = try serve(setup)
        try array.qemuIO(
            "write -P 1 0 4M", "write -P 2 1000 70000", "read -P 1 0 1000", "read -P 2 1000 70000",
            "read -P 1 71000 100000", "write -P 3 511 1", "read -P 1 0 511", "read -P 3 511 1", "read -P 1 512 488",
            "write -P 4 -f 131071 2", "read -P 4 131071 2", "write -z 2M 1M", "read -P 0 2M 1M", "read -P 1 3M 1M",
            "write -z 3146000 300001", "read -P 0 3146000 300001", "read -P 1 3446001 100", "read -P 1 3145900 100",
            "discard 0 1M", "write -P 9 0 1M", "read -P 9 0 1M", "write -P 7 5M 32M", "read -P 7 5M 32M", "flush")
        #expect(array.stop() == 0)
        try array.start()
        try array.qemuIO("read -P 9 0 1M", "read -P 0 2M 1M", "read -P 7 5M 32M")
        #expect(array.stop() == 0)
    }

    @Test(
        "fio verifies random writes, and again after a restart",
        .enabled(if: Shell.has("fio"), "fio is not installed"), arguments: Setup.all)
    func fio(setup: Setup) throws {
        let array = try serve(setup)
        let jobs = [
            ["--rw=randwrite", "--bs=4k", "--size=24m", "--iodepth=32", "--numjobs=2", "--offset_increment=24m"],
            ["--rw=randwrite", "--bsrange=512-192k", "--bs_unaligned=1", "--size=40m", "--offset=48m", "--iodepth=16"],
        ]
        for job in jobs { try array.fioVerify(job) }
        #expect(array.stop() == 0)
        try array.start()
        for job in jobs { try array.fioVerify(job + ["--verify_only"]) }
        #expect(array.stop() == 0)
    }

    @Test(
        "RAID 5 without a member reads and writes as before",
        .enabled(if: Shell.has("fio"), "fio is not installed"), arguments: 0..<4)
    func degraded(role: Int) throws {
        let array = try serve(Setup(level: 5, mode: "bundled"))
        let job = ["--rw=randwrite", "--bsrange=4k-96k", "--size=40m", "--iodepth=16"]
        try array.fioVerify(job)
        #expect(array.stop() == 0)
        try array.removeMember(role)
        try array.start()
        try array.fioVerify(job + ["--verify_only"])
        let second = [
            "--rw=randwrite", "--bs=4k", "--size=20m", "--offset=40m", "--iodepth=32", "--numjobs=2",
            "--offset_increment=20m",
        ]
        try array.fioVerify(second)
        #expect(array.stop() == 0)
        try array.start()
        try array.fioVerify(second + ["--verify_only"])
        let status = try Shell.run(nbdext, ["status", array.arrayPath, "--json"])
        #expect(status.output.contains("\"state\": \"degraded, dirty\""))
        #expect(array.stop() == 0)
    }

    @Test(
        "a killed server loses nothing that was acknowledged",
        .enabled(if: Shell.has("qemu-io"), "qemu-io is not installed"))
    func killed() throws {
        let array = try serve(Setup(level: 5, mode: "bundled"))
        try array.qemuIO("write -P 5 123 3M", "write -P 6 8M 1M")
        array.kill()
        try array.start()
        try array.qemuIO("read -P 5 123 3M", "read -P 6 8M 1M")
        #expect(array.stop() == 0)
    }

    @Test("the thread engine serves as well", .enabled(if: Shell.has("fio"), "fio is not installed"))
    func threadEngine() throws {
        let array = try serve(Setup(level: 5, mode: "bundled"), ["--io-engine", "threads"])
        try array.fioVerify([
            "--rw=randwrite", "--bs=8k", "--size=40m", "--iodepth=32", "--numjobs=2", "--offset_increment=40m",
        ])
        #expect(array.stop() == 0)
    }

    @Test("a read-only export refuses writes", .enabled(if: Shell.has("qemu-io"), "qemu-io is not installed"))
    func readOnly() throws {
        let array = try ServedArray(level: 5, members: 3, options: ["--read-only"])
        let before = try Data(contentsOf: URL(fileURLWithPath: array.arrayPath + "/member-0.img"))
        try array.start()
        #expect(throws: (any Error).self) { try array.qemuIO("write -P 1 0 4k") }
        let read = try Shell.run("qemu-io", ["-r", "-f", "raw", "-c", "read -P 0 0 1M", array.uri])
        #expect(read.status == 0)
        #expect(array.stop() == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: array.arrayPath + "/member-0.img")) == before)
    }
}
