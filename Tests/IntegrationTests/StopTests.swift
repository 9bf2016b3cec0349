import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

extension Program {
    /// The addresses of a server that is ready.
    fileprivate var ready: [String] {
        output.split(separator: "\n").filter { $0.hasPrefix("ready: ") }.map { String($0.dropFirst(7)) }
    }
}

@Suite("The end of a server", .serialized, .blocks, .slow)
struct StopTests {
    private let directory = TemporaryDirectory()

    private func create(_ name: String = "a", size: String = "64M", _ more: String...) throws -> String {
        let path = "\(directory.path)/\(name)"
        let result = try Shell.run(
            nbdext, ["create", path, "--level", "5", "--members", "3", "--size", size] + more)
        try #require(result.status == 0, "\(result.errors)")
        return path
    }

    private func state(_ path: String) throws -> String {
        let output = try Shell.run(nbdext, ["status", path, "--json"]).output
        return output.contains("\"state\": \"clean\"") ? "clean" : output
    }

    private func serve(_ path: String, _ more: String...) throws -> Program {
        let server = try Program(nbdext, ["serve", path, "--socket", directory.path + "/socket"] + more)
        try server.waitFor("ready: ")
        return server
    }

    /// A connected client that sends bytes and reads nothing.
    private func client(_ bytes: [UInt8]) throws -> Int32 {
        let descriptor = try UnixSocket.connect(to: directory.path + "/socket")
        bytes.withUnsafeBytes { _ = send(descriptor, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL)) }
        return descriptor
    }

    private static let attach: [UInt8] =
        [0, 0, 0, 3] + Array("IHAVEOPT".utf8) + [0, 0, 0, 7] + [0, 0, 0, 6] + [0, 0, 0, 0, 0, 0]

    private static func request(_ command: UInt8, offset: Int, count: Int) -> [UInt8] {
        func bytes(_ value: Int, _ width: Int) -> [UInt8] {
            (0..<width).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        return [0x25, 0x60, 0x95, 0x13, 0, 0, 0, command] + bytes(offset, 8) + bytes(offset, 8) + bytes(count, 4)
    }

    @Test("comes in time whatever clients do, and the array is clean", arguments: [SIGTERM, SIGINT, SIGHUP])
    func clients(signal: Int32) throws {
        let path = try create()
        let server = try serve(path, "--stop-timeout", "2")
        let reads = (0..<60).flatMap { Self.request(0, offset: $0 << 20, count: 1 << 20) }
        let clients = try [
            client([]), client([0, 0, 0, 3] + Array("IHAVEOPT".utf8)), client(Self.attach),
            client(Self.attach + reads), client(Self.attach + Self.request(1, offset: 0, count: 1 << 20) + [1, 2, 3]),
        ]
        defer { for client in clients { close(client) } }
        usleep(300_000)
        #expect(server.stop(by: signal) == 0, "\(server.said)")
        #expect(server.said.contains("cut off"))
        let time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/
        let line = server.said.split(separator: "\n").first { $0.contains("finishing what clients have sent") }
        let words = try #require(line).split(separator: " ").prefix(3)
        #expect(words.first?.wholeMatch(of: time) != nil && words.dropFirst() == ["notice", "nbdext:"], "\(words)")
        #expect(try state(path) == "clean")
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/socket"))
    }

    @Test("under nohup a terminal that closes does not end it")
    func nohup() throws {
        let path = try create()
        let server = try Program("nohup", [nbdext, "serve", path, "--socket", directory.path + "/socket"])
        try server.waitFor("ready: ")
        server.signal(SIGHUP)
        server.signal(SIGUSR1)
        try server.waitFor("tasks with the driver")
        #expect(!server.said.contains("terminal"))
        #expect(server.stop() == 0)
    }

    @Test(
        "comes while parity is checked; the array is dirty then, and is checked at the next start",
        .enabled(if: Shell.has("nbdkit"), "nbdkit is not installed"))
    func recovery() throws {
        // A member that answers slowly makes the check last; another one has data in every stripe.
        let slow = try RemoteExport(
            socket: directory.path + "/slow", ["--filter=delay", "memory", "64M", "delay-read=30ms"])
        let path = directory.path + "/a"
        let files = ["\(directory.path)/one.img", "\(directory.path)/two.img"]
        let created = try Shell.run(
            nbdext,
            ["create", path, "--level", "5", "--size", "80M", "--consistency", "resync"]
                + ([slow.uri] + files).flatMap { ["--member", $0] })
        try #require(created.status == 0, "\(created.errors)")
        let filled = try Shell.run(
            "dd", ["if=/dev/urandom", "of=\(files[0])", "bs=1M", "count=30", "seek=8", "conv=notrunc", "status=none"])
        try #require(filled.status == 0, "\(filled.errors)")
        let crashed = try serve(path)
        crashed.stop(by: SIGKILL)
        let server = try Program(nbdext, ["serve", path, "--socket", directory.path + "/socket"])
        try server.waitFor("checking the parity")
        server.signal(SIGUSR1)
        try server.waitFor("starting: checking the parity of the array in \(path), ")
        #expect(server.stop() == 0, "\(server.said)")
        #expect(!server.said.contains("parity is right again") && server.ready.isEmpty)
        #expect(try state(path).contains("\"state\": \"dirty\""))
        withExtendedLifetime(slow) {}
    }

    @Test("comes while a driver hangs in its start; its process is ended too, and the array is clean")
    func hangingDriver() throws {
        let path = try create()
        let sleep = try #require(Shell.find("sleep"))
        let server = try Program(
            nbdext,
            ["serve", path, "--socket", directory.path + "/socket", "--driver", sleep, "--driver-argument", "1000"])
        func children() throws -> [Substring] {
            try Shell.run("ps", ["-o", "pid=", "--ppid", "\(server.identifier)"]).output
                .split(separator: "\n")
        }
        while try children().isEmpty { usleep(50_000) }
        let child = try #require(Int32(try children()[0].trimmingCharacters(in: .whitespaces)))
        server.signal(SIGUSR1)
        try server.waitFor("starting: starting the driver")
        #expect(server.stop() == 0, "\(server.said)")
        #expect(kill(child, 0) != 0)
        #expect(!server.said.contains("B0"), "\(server.said)")
        #expect(try state(path) == "clean")
    }

    @Test("comes while a driver does not answer any more; its process is ended too, and the array is clean")
    func silentDriver() throws {
        let path = try create()
        let server = try serve(path, "--driver-host", "process", "--stop-timeout", "3")
        let children = try Shell.run("ps", ["-o", "pid=", "--ppid", "\(server.identifier)"]).output
        let child = try #require(Int32(children.trimmingCharacters(in: .whitespacesAndNewlines)))
        kill(child, SIGSTOP)
        let waiting = try client(Self.attach + Self.request(0, offset: 0, count: 4096))
        defer { close(waiting) }
        #expect(server.stop() == 0, "\(server.said)")
        #expect(kill(child, 0) != 0)
        #expect(try state(path) == "clean")
    }

    @Test(
        "comes whatever the driver does: it never returns from a call, keeps all tasks, or takes its target away and back",
        arguments: [("no-reply", "legacy"), ("deaf", "bundled"), ("recreate", "legacy"), ("recreate", "bundled")])
    func busyDriver(habit: String, mode: String) throws {
        let path = try create()
        let server = try serve(
            path, "--driver", sibling("nbdext-test-driver"), "--driver-argument", habit, "--mode", mode,
            "--stop-timeout", "3")
        let reads = (0..<60).flatMap { Self.request(0, offset: $0 << 16, count: 4096) }
        let waiting = try client(Self.attach + reads)
        defer { close(waiting) }
        usleep(500_000)
        #expect(server.stop() == 0, "\(server.said)")
        #expect(try state(path) == "clean")
    }

    @Test("comes also when nobody takes what it says any more")
    func stuckReader() throws {
        let path = try create()
        let pipe = Pipe()
        let full = pipe.fileHandleForWriting.fileDescriptor
        let flags = fcntl(full, F_GETFL)
        _ = fcntl(full, F_SETFL, flags | O_NONBLOCK)
        let piece = [UInt8](repeating: 0x2E, count: 4096)
        while write(full, piece, piece.count) > 0 {}
        _ = fcntl(full, F_SETFL, flags)
        let server = try Program(
            nbdext, ["serve", path, "--socket", directory.path + "/socket", "--stop-timeout", "1"],
            errors: pipe.fileHandleForWriting)
        try server.waitFor("ready: ")
        let stuck = try client(Self.attach + (0..<60).flatMap { Self.request(0, offset: $0 << 20, count: 1 << 20) })
        defer { close(stuck) }
        usleep(300_000)
        server.signal(SIGUSR1)
        #expect(server.stop() == 0)
        #expect(try state(path) == "clean")
        withExtendedLifetime(pipe) {}
    }

    @Test("comes at once with the second signal")
    func twice() throws {
        let path = try create()
        let server = try serve(path, "--stop-timeout", "3600")
        let stuck = try client(Self.attach + (0..<60).flatMap { Self.request(0, offset: $0 << 20, count: 1 << 20) })
        defer { close(stuck) }
        usleep(300_000)
        server.signal(SIGTERM)
        try server.waitFor("terminated")
        usleep(300_000)
        #expect(server.isRunning)
        #expect(server.stop() == 128 + SIGTERM)
    }

    @Test("every address that is named is served, and each has its line")
    func addresses() throws {
        let path = try create()
        let sockets = ["\(directory.path)/one 50%", "\(directory.path)/two?&"]
        let server = try Program(
            nbdext,
            ["serve", path] + sockets.flatMap { ["--socket", $0] } + ["--listen", "localhost:0", "--listen", "*:0"])
        try server.waitFor("nbd://localhost:")
        while server.ready.count < 4 { usleep(20_000) }
        for uri in server.ready {
            let result = try Shell.run("nbdinfo", ["--size", uri])
            #expect(result.status == 0, "\(uri): \(result.errors)")
        }
        #expect(server.stop() == 0)
        for socket in sockets { #expect(!FileManager.default.fileExists(atPath: socket)) }
    }

    @Test("one address that cannot be served ends the start, and nothing is left of the others")
    func oneRefused() throws {
        let path = try create()
        let socket = directory.path + "/socket"
        let result = try Shell.run(nbdext, ["serve", path, "--socket", socket, "--socket", "/nonexistent/socket"])
        #expect(result.status != 0 && result.errors.contains("cannot listen on /nonexistent/socket"))
        #expect(!result.output.contains("ready"))
        #expect(!FileManager.default.fileExists(atPath: socket))
        #expect(try state(path) == "clean")
    }

    @Test("times that make no sense are refused", arguments: ["--stop-timeout", "--handshake-timeout", "--keepalive"])
    func times(option: String) throws {
        for value in ["-1", "86401", "soon", "1.5"] + (option == "--keepalive" ? [] : ["0"]) {
            let result = try Shell.run(nbdext, ["serve", "/nonexistent", "--socket", "/tmp/x", "\(option)=\(value)"])
            #expect(result.status == 64 && result.errors.contains(option), "\(result.errors)")
        }
    }
}
