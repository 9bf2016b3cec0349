import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// Arrays on exports of other servers.
@Suite(
    "Remote members", .serialized, .blocks, .slow,
    .enabled(if: Shell.has("nbdkit", "fio"), "nbdkit or fio is not installed"))
struct RemoteMemberTests {
    private let directory = TemporaryDirectory()
    private static let memory = ["memory", "64M"]
    private static let job = ["--rw=randwrite", "--bsrange=512-192k", "--bs_unaligned=1", "--size=64m", "--iodepth=16"]

    private func exports(_ arguments: [[String]]) throws -> [RemoteExport] {
        try arguments.enumerated().map { try RemoteExport(socket: "\(directory.path)/s\($0)", $1) }
    }

    /// An array over exports, and a local file as the last member.
    private func array(
        over uris: [String], level: Int = 5, size: String = "80M", options: [String] = []
    ) throws -> ServedArray {
        try ServedArray(
            level: level,
            placing: (uris + ["\(directory.path)/local-\(UUID().uuidString.prefix(8)).img"]).flatMap {
                ["--member", $0]
            },
            size: size, options: options, keepsErrors: true)
    }

    private func status(_ array: ServedArray) throws -> String {
        try Shell.run(nbdext, ["status", array.arrayPath]).output
    }

    private func wait(for text: String, in array: ServedArray) throws {
        let isSaid = eventually(everyMilliseconds: 10) { array.errors.contains(text) }
        #expect(isSaid, "the server never said \"\(text)\", but: \(array.errors)")
    }

    @Test("fio verifies what it wrote, and again after a restart", arguments: [0, 5])
    func data(level: Int) throws {
        let exports = try exports([Self.memory, Self.memory, Self.memory])
        let array = try array(over: exports.map(\.uri), level: level)
        let uri = try String(contentsOfFile: array.arrayPath + "/member-1.nbd", encoding: .utf8)
        #expect(uri == exports[1].uri + "\n")
        try array.start()
        try array.fioVerify(Self.job)
        try array.qemuIO(
            "write -P 1 0 4M", "write -z 1M 1M", "read -P 0 1M 1M", "discard 2M 1M", "read -P 0 2M 1M",
            "read -P 1 3M 1M",
            "write -zu 196608 196608", "read -P 0 196608 196608", "write -P 4 -f 131071 2", "read -P 4 131071 2",
            "flush")
        #expect(array.stop() == 0)
        #expect(try status(array).contains("state    clean"))
        try array.start()
        try array.qemuIO("read -P 0 2M 1M", "read -P 1 3M 1M", "read -P 4 131071 2")
        #expect(array.stop() == 0)
        withExtendedLifetime(exports) {}
    }

    @Test(
        "servers with habits of their own",
        arguments: [
            ["--filter=noparallel"], ["--filter=nozero"], ["--filter=nozero", "zeromode=plugin"],
            ["--filter=blocksize-policy", "blocksize-maximum=64K", "blocksize-error-policy=error"],
            ["--filter=delay", "rdelay=2ms", "wdelay=2ms"], ["--filter=fua", "fuamode=discard"],
            ["--filter=noextents"],
        ])
    func filters(options: [String]) throws {
        let filter = options[0]
        let exports = try exports([[filter] + Self.memory + options.dropFirst(), Self.memory])
        let array = try array(over: exports.map(\.uri))
        try array.start()
        try array.fioVerify(Self.job)
        try array.qemuIO("write -P 1 0 4M", "write -z 1M 1M", "read -P 0 1M 1M", "discard 2M 1M", "read -P 0 2M 1M")
        array.kill()
        // Not stopped cleanly: parity is checked through the exports.
        try array.start()
        try array.qemuIO("read -P 0 2M 1M", "read -P 1 3M 1M", "read -P 1 0 1M")
        #expect(array.stop() == 0)
        #expect(!array.errors.contains("failed"), "\(array.errors)")
        #expect(try status(array).contains("state    clean"))
        withExtendedLifetime(exports) {}
    }

    @Test("a server that is killed under load is a failed member, and clients see nothing of it")
    func killed() throws {
        let exports = try exports([Self.memory, Self.memory, Self.memory])
        let array = try array(over: exports.map(\.uri))
        try array.start()
        let victim = exports[1]
        let process = victim.identifier
        Thread {
            usleep(700_000)
            Foundation.kill(process, SIGKILL)
        }.start()
        let load = ["--rw=randwrite", "--bs=4k", "--size=32m", "--iodepth=32", "--loops=6"]
        try array.fioVerify(load)
        try wait(for: "is lost", in: array)
        #expect(array.errors.contains("member 1 of array failed; the array goes on without it"), "\(array.errors)")
        let status = try status(array)
        #expect(status.contains("degraded, dirty"), "\(status)")
        #expect(status.contains("member 1 failed: it is lost: "), "\(status)")
        #expect(status.contains(victim.uri), "\(status)")
        victim.kill()
        try victim.start()
        try wait(for: "\(victim.uri) can be reached again", in: array)
        try array.fioVerify(load + ["--verify_only"])
        #expect(array.stop() == 0)
        // What came back holds nothing, and stays out.
        try array.start()
        try array.fioVerify(load + ["--verify_only"])
        #expect(array.stop() == 0)
    }

    /// A file without data.
    private func image(_ name: String, mebibytes: UInt64) throws -> String {
        let path = "\(directory.path)/\(name).img"
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        try FileHandle(forWritingTo: URL(fileURLWithPath: path)).truncate(atOffset: mebibytes << 20)
        return path
    }

    /// An export that keeps what it holds while its server is away.
    private func keptExport(_ name: String) throws -> RemoteExport {
        try RemoteExport(socket: "\(directory.path)/\(name)", ["file", image(name, mebibytes: 512)])
    }

    private func check(_ array: ServedArray) throws {
        let result = try Shell.run(nbdext, ["check", array.arrayPath])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }

    @Test("a member whose server comes back gets what it has missed, without being asked")
    func comesBack() throws {
        let exports = try (0..<3).map { try keptExport("kept-\($0)") }
        let array = try array(over: exports.map(\.uri), size: "900M")
        try array.start()
        try array.qemuIO("write -P 1 0 32M", "write -P 2 500M 8M", "flush")
        // At rest no bit is set.
        #expect(array.stop() == 0)
        try array.start()
        exports[1].kill()
        try array.qemuIO("write -P 3 1M 2M", "write -P 4 800M 1M", "flush")
        #expect(array.errors.contains("member 1 of array failed"), "\(array.errors)")
        try exports[1].start()
        try wait(for: "member 1 of array is up to date; the array is whole", in: array)
        #expect(array.errors.contains("2 of 5 regions of array were written to without member 1"), "\(array.errors)")
        try check(array)
        // One that is not there when the array is opened comes back too.
        #expect(array.stop() == 0)
        exports[2].kill()
        try array.start()
        try array.qemuIO("write -P 5 2M 1M", "flush")
        try exports[2].start()
        try wait(for: "member 2 of array is up to date; the array is whole", in: array)
        try check(array)
        #expect(try Shell.run(nbdext, ["fail", array.arrayPath, "0"]).status == 0)
        try array.qemuIO(
            "read -P 1 0 1M", "read -P 3 1M 1M", "read -P 5 2M 1M", "read -P 1 3M 29M", "read -P 2 500M 8M",
            "read -P 4 800M 1M")
        #expect(array.stop() == 0)
    }

    /// An export whose server loses what was not flushed when it is killed.
    private func volatileExport(_ name: String) throws -> RemoteExport {
        try RemoteExport(
            socket: "\(directory.path)/\(name)",
            ["--filter=cache", "file", image(name, mebibytes: 128), "cache=writeback"])
    }

    @Test(
        "two servers that are killed under load and come back in time: requests wait, and nothing is lost",
        arguments: [0, 5])
    func suspended(level: Int) throws {
        let exports = try (0..<3).map { try volatileExport("volatile-\(level)-\($0)") }
        let array = try array(over: exports.map(\.uri), level: level, options: ["--lost-timeout", "600"])
        try array.start()
        let load = [
            "--rw=randwrite", "--bsrange=512-64k", "--bs_unaligned=1", "--size=64m", "--iodepth=16", "--fsync=200",
            "--randseed=11", "--rate=16m",
        ]
        let client = try array.startFio(ServedArray.verifying + load)
        try array.waitForRequests()
        for export in exports[1...2] { export.kill() }
        try array.waitForStatus { $0.contains("state    suspended") }
        let status = try status(array)
        #expect(status.contains("member 1 lost, and waited for until") || status.contains("member 2 lost, and waited"))
        let metrics = try Shell.run(nbdext, ["top", array.arrayPath, "--prometheus"]).output
        #expect(metrics.contains("nbdext_array_state{export=\"array\",state=\"suspended\"} 1"), "\(metrics)")
        #expect(client.isRunning)
        for export in exports[1...2] { try export.start() }
        #expect(client.wait() == 0, "\(client.said)")
        try wait(for: "array goes on: enough of its members are back, unchanged", in: array)
        #expect(!array.errors.contains("failed"), "\(array.errors)")
        if level == 5 { try check(array) }
        #expect(array.stop() == 0)
    }

    @Test("servers that do not come back in time, or are other ones, fail the array, which all of them bring back")
    func suspendedInVain() throws {
        let exports = try (0..<3).map { try keptExport("vain-\($0)") }
        let array = try array(over: exports.map(\.uri), options: ["--lost-timeout", "2"])
        try array.start()
        try array.qemuIO("write -P 1 0 4M", "flush")
        for export in exports[0...1] { export.kill() }
        let read = try Shell.run("qemu-io", ["-f", "raw", "-c", "read 0 4M", array.uri])
        #expect((read.output + read.errors).contains("Input/output error"), "\(read.output)\(read.errors)")
        try array.waitForStatus { $0.contains("state    failed") }
        #expect(array.errors.contains("array no longer waits for member 0, 1"), "\(array.errors)")
        for export in exports[0...1] { try export.start() }
        array.stop()
        try array.start(["--lost-timeout", "600"])
        try array.qemuIO("read -P 1 0 4M")
        // A stop does not wait for members.
        for export in exports[0...1] { export.kill() }
        try array.waitForStatus { $0.contains("state    suspended") }
        array.stop()
        for export in exports[0...1] { try export.start() }
        try array.start()
        try array.qemuIO("read -P 1 0 4M")
        #expect(array.stop() == 0)
    }

    @Test("files take the place of exports, and exports that of files, while clients are served")
    func changesPlaces() throws {
        let exports = try exports([Self.memory, Self.memory, Self.memory])
        let array = try array(over: exports[..<2].map(\.uri))
        try array.start()
        let load = ["--rw=randwrite", "--bs=4k", "--size=32m", "--iodepth=32"]
        try array.fioVerify(load)
        try succeed("fail", array.arrayPath, "0")
        try succeed("add", array.arrayPath, "file.img")
        try succeed("fail", array.arrayPath, "2")
        try succeed("add", array.arrayPath, exports[2].uri)
        try check(array)
        let link = try String(contentsOfFile: array.arrayPath + "/member-2.nbd", encoding: .utf8)
        #expect(link == exports[2].uri + "\n")
        // The export that left comes back, to the role of the other one.
        try succeed("fail", array.arrayPath, exports[1].uri)
        try succeed("add", array.arrayPath, exports[0].uri)
        try check(array)
        try array.fioVerify(load + ["--verify_only"])
        let again = try Shell.run(nbdext, ["add", array.arrayPath, exports[0].uri])
        #expect(again.status != 0 && again.errors.contains("is a member of the array already"), "\(again.errors)")
        #expect(array.stop() == 0)
        try array.start()
        try array.fioVerify(load + ["--verify_only"])
        #expect(array.stop() == 0)
    }

    @Test("a server that reports errors is a failed member")
    func errors() throws {
        let trigger = directory.path + "/trigger"
        let exports = try exports([
            ["--filter=error"] + Self.memory + ["error=EIO", "error-rate=100%", "error-file=\(trigger)"], Self.memory,
        ])
        let array = try array(over: exports.map(\.uri))
        try array.start()
        try array.qemuIO("write -P 1 0 4M")
        #expect(FileManager.default.createFile(atPath: trigger, contents: nil))
        try array.qemuIO("read -P 1 0 4M", "write -P 2 1M 2M", "read -P 2 1M 2M", "read -P 1 3M 1M", "flush")
        #expect(array.errors.contains("member 0 of array failed"), "\(array.errors)")
        #expect(array.errors.contains("Input/output error"), "\(array.errors)")
        #expect(array.stop() == 0)
        withExtendedLifetime(exports) {}
    }

    @Test("an export without room is a full disk to the client, and no failed member")
    func full() throws {
        let trigger = directory.path + "/trigger"
        let exports = try exports([
            ["--filter=error"] + Self.memory
                + ["error-pwrite=ENOSPC", "error-pwrite-rate=100%", "error-pwrite-file=\(trigger)"],
            Self.memory,
        ])
        let array = try array(over: exports.map(\.uri))
        try array.start()
        try array.qemuIO("write -P 1 0 4M")
        #expect(FileManager.default.createFile(atPath: trigger, contents: nil))
        #expect(throws: ServedArray.Failure.self) { try array.qemuIO("write -P 2 1M 192k") }
        #expect(array.errors.contains("No space left on device"), "\(array.errors)")
        try array.qemuIO("read -P 1 0 1M", "read -P 1 1280k 1M")
        try FileManager.default.removeItem(atPath: trigger)
        try array.qemuIO("write -P 2 1M 192k", "read -P 2 1M 192k", "read -P 1 0 1M", "read -P 1 1280k 1M", "flush")
        #expect(array.stop() == 0)
        #expect(!array.errors.contains("goes on without it"), "\(array.errors)")
        #expect(try !status(array).contains("degraded"))
        withExtendedLifetime(exports) {}
    }

    @Test("an array starts without a server, says so, and says when it is there")
    func absent() throws {
        let exports = try exports([Self.memory, Self.memory])
        let array = try array(over: exports.map(\.uri))
        try array.start()
        try array.qemuIO("write -P 1 0 4M")
        #expect(array.stop() == 0)
        exports[0].kill()
        try array.start()
        #expect(array.errors.contains("\(exports[0].uri) is left out: not reachable: "), "\(array.errors)")
        try array.qemuIO("read -P 1 0 4M")
        try exports[0].start()
        try wait(for: "can be reached again", in: array)
        array.kill()
        exports[0].kill()
        #expect(throws: ServedArray.Failure.self, "not stopped cleanly, and a member is missing") { try array.start() }
        try array.start(["--force"])
        try array.qemuIO("read -P 1 0 4M")
        #expect(array.stop() == 0)
        exports[1].kill()
        #expect(throws: ServedArray.Failure.self) { try array.start() }
    }

    @Test("what an export held before is gone, and cannot come back by a degraded read")
    func cleared() throws {
        let data = ["data", "size=64M", "0xff*67108864"]
        for filter in [[], ["--filter=nozero"], ["--filter=noextents"]] {
            let exports = try exports([filter + data, data])
            let array = try array(over: exports.map(\.uri))
            try array.start()
            try array.qemuIO("read -P 0 0 80M")
            #expect(array.stop() == 0)
            exports[0].kill()
            try array.start()
            try array.qemuIO("read -P 0 0 80M")
            #expect(array.stop() == 0)
        }
    }

    @Test("exports that cannot be members are refused in words")
    func refused() throws {
        let exports = try exports([
            Self.memory, ["--readonly"] + Self.memory, ["memory", "8M"],
            ["--filter=blocksize-policy"] + Self.memory + ["blocksize-minimum=4096", "blocksize-error-policy=error"],
        ])
        func create(_ uris: [String], _ more: [String] = []) throws -> Shell.Result {
            try Shell.run(
                nbdext,
                ["create", directory.path + "/refused", "--level", "5", "--size", "80M", "--member", "a.img"]
                    + ["--member", "b.img"] + uris.flatMap { ["--member", $0] } + more)
        }
        for (uri, words) in [
            (exports[1].uri, "read-only"), (exports[2].uri, "is too small: it has 8388608 bytes"),
            (exports[3].uri, "takes no requests below 4096 bytes"),
            ("nbd+unix:///?socket=\(directory.path)/nobody", "not reachable: "), ("a.img", "is named twice"),
        ] {
            let result = try create([uri])
            #expect(result.status != 0)
            #expect(result.errors.contains(words), "\(result.errors)")
            #expect(result.errors.contains(uri), "\(result.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/refused"))
        #expect(try create([exports[0].uri]).status == 0)
        try FileManager.default.removeItem(atPath: directory.path + "/refused")
        let again = try create([exports[0].uri])
        #expect(again.status != 0 && again.errors.contains("already is a member"), "\(again.errors)")
        #expect(try create([exports[0].uri], ["--force"]).status == 0)
        #expect(try create([exports[0].uri], ["--members", "3"]).errors.contains("--member"))
    }

    @Test("the exports of other arrays, and of qemu-nbd, are members too", .enabled(if: Shell.has("qemu-nbd")))
    func otherServers() throws {
        let inner = try ServedArray(level: 5, members: 3, size: "64M")
        try inner.start()
        let image = try image("image", mebibytes: 64)
        let socket = directory.path + "/qemu"
        let qemu = try Program("qemu-nbd", ["--persistent", "--socket", socket, "--format", "raw", image])
        defer { qemu.stop(by: SIGKILL) }
        #expect(eventually { FileManager.default.fileExists(atPath: socket) })
        let array = try array(over: [inner.uri, "nbd+unix:///?socket=\(socket)"])
        try array.start()
        try array.fioVerify(Self.job)
        #expect(array.stop() == 0)
        try array.start()
        try array.fioVerify(Self.job + ["--verify_only"])
        #expect(array.stop() == 0)
        #expect(inner.stop() == 0)
    }

    @Test("TLS, with a key that the URI names")
    func tls() throws {
        let keys = directory.path + "/keys"
        try "alice:0123456789abcdef0123456789abcdef\n".write(toFile: keys, atomically: true, encoding: .utf8)
        let exports = try exports([["--tls=require", "--tls-psk=\(keys)"] + Self.memory, Self.memory])
        let plain = exports[0].uri
        let uri = "nbds+unix://alice@/?socket=\(exports[0].socket)&tls-psk-file=\(keys)"
        let array = try array(over: [uri, exports[1].uri])
        try array.start()
        try array.fioVerify(Self.job)
        #expect(array.stop() == 0)
        #expect(throws: ServedArray.Failure.self) { _ = try self.array(over: [plain, exports[1].uri]) }
    }

    @Test("a server that hangs is a failed member after 30 seconds, and clients see nothing of it")
    func hanging() throws {
        let exports = try exports([Self.memory, Self.memory])
        let array = try array(over: exports.map(\.uri))
        try array.start()
        try array.qemuIO("write -P 1 0 4M")
        exports[0].setStopped(true)
        defer { exports[0].setStopped(false) }
        let start = Date()
        try array.qemuIO("write -P 2 1M 2M", "read -P 2 1M 2M", "read -P 1 0 1M", "flush")
        #expect(Date().timeIntervalSince(start) > 25)
        #expect(array.errors.contains("a request was not answered within 30 s"), "\(array.errors)")
        #expect(array.errors.contains("member 0 of array failed"), "\(array.errors)")
        #expect(array.stop() == 0)
    }
}
