import BenchReport
import Control
import Glibc
import Platform
import Statistics

/// A server that is measured, in a process of its own and with an array of its own.
///
/// Threads: one at a time.
final class BenchServer {
    private static let stopMilliseconds = 30_000
    let configuration: BenchConfiguration
    let socket: String
    private let controlSocket: String
    private let log: String
    private let output: Int32
    private var process: pid_t = 0

    /// Starts the server.
    ///
    /// - Parameters:
    ///   - directory: of the array; nil for a driver that brings its own targets.
    ///   - path: the common beginning of the paths of the server's sockets and log.
    /// - Throws: when the process cannot be started.
    init(_ configuration: BenchConfiguration, directory: String?, path: String) throws {
        self.configuration = configuration
        socket = "\(path).sock"
        controlSocket = "\(path).ctl"
        log = "\(path).log"
        var arguments = ["/proc/self/exe", "serve"] + (directory.map { [$0] } ?? [])
        arguments += ["--socket", socket, "--control", controlSocket, "--mode", configuration.mode]
        if let driver = configuration.driver {
            arguments += [driver.option, driver.path]
        } else if configuration.hasDriverProcess {
            arguments += ["--driver-host", "process"]
        }
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw OSError(code: errno, doing: "make a pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        output = ends[0]
        defer { close(ends[1]) }
        process = try Self.spawn(arguments, output: ends[1], log: log)
    }

    deinit { close(output) }

    /// Waits until the server listens.
    ///
    /// - Throws: `OperationError` with the server's log when it does not start.
    func waitUntilReady() throws {
        guard Self.readLine(output).hasPrefix("ready: ") else {
            throw OperationError("the server for \(configuration.name) did not start:\n\(TextFile.read(log))")
        }
    }

    /// Ends the server as SIGTERM does, and by force if that takes too long.
    func stop() {
        guard process > 0 else { return }
        kill(process, SIGTERM)
        for _ in 0..<Self.stopMilliseconds / 10 {
            if waitpid(process, nil, WNOHANG) != 0 {
                process = 0
                return
            }
            usleep(10_000)
        }
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
        process = 0
    }

    /// The calls of the driver so far, by the tasks that each one carried.
    ///
    /// - Throws: as `ControlClient.statistics`.
    func bundles() throws -> BundleSnapshot {
        try ControlClient(path: controlSocket).statistics().bundles
    }

    /// Starts the program in a process group of its own: a Ctrl-C reaches the benchmark alone, which then stops its
    /// servers.
    private static func spawn(_ arguments: [String], output: Int32, log: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        let log = try OpenDirectory.openOutput(path: log)
        defer { close(log) }
        posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var child: pid_t = 0
        let status = posix_spawn(&child, arguments[0], &actions, &attributes, &pointers, environ)
        guard status == 0 else { throw OSError(code: status, doing: "start a server") }
        return child
    }

    /// The first line, or as much of it as the writer has written before its end.
    private static func readLine(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1, byte != UInt8(ascii: "\n") { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
