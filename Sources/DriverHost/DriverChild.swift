import CLinux
import Glibc
import Platform
import SCSIControllerDriverKit

/// A driver's process: started with a control socket, a channel and the data arena, and nothing else that is the server's.
///
/// Threads: any.
final class DriverChild: Sendable {
    let process: pid_t
    let executable: String

    /// - Parameters:
    ///   - executable: a program whose main function calls `DriverKitMain`.
    ///   - arguments: what it is started with.
    ///   - socket: its end of the control link.
    ///   - channel, arena: memory files.
    /// - Throws: when the program cannot be started.
    init(
        executable: String, arguments: [String], socket: Int32, channel: Int32, arena: Int32, arenaByteCount: Int
    ) throws(OSError) {
        self.executable = executable
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Copies first, to numbers that are out of the way of the targets.
        let copies = [socket, channel, arena].map { fcntl($0, F_DUPFD_CLOEXEC, 64) }
        defer { for copy in copies { close(copy) } }
        let targets = [
            DriverProcessDescriptor.control, DriverProcessDescriptor.channel, DriverProcessDescriptor.arena,
        ]
        for (copy, target) in zip(copies, targets) { posix_spawn_file_actions_adddup2(&actions, copy, target) }
        // Nor what the server itself was started with.
        _ = nbdext_spawn_closing_from(&actions, targets.max()! + 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Signals that the server waits for are none of the driver's business, and an interrupt at the terminal is for
        // the server alone.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var arguments: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = [
            strdup("\(DriverProcessDescriptor.variable)=\(arenaByteCount)"),
            strdup("PATH=\(getenv("PATH").map { String(cString: $0) } ?? "")"), nil,
        ]
        defer { for pointer in arguments + environment { free(pointer) } }
        var process: pid_t = 0
        let status = posix_spawn(&process, executable, &actions, &attributes, &arguments, &environment)
        guard status == 0 else { throw OSError(code: status, doing: "start the driver \(executable)") }
        self.process = process
    }

    /// Ends it at once.
    func kill() { Glibc.kill(process, SIGKILL) }

    /// Ends the process if it runs, and gives back what the system keeps of it. Once.
    /// - Returns: how it ended, as a sentence without a subject: "was killed by signal 9".
    func end() -> String {
        var status: Int32 = 0
        // One that is about to end by itself says more by its own status.
        for _ in 0..<50 {
            if waitpid(process, &status, WNOHANG) == process { return Self.text(status) }
            usleep(2000)
        }
        kill()
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return Self.text(status) + " by the server"
    }

    private static func text(_ status: Int32) -> String {
        let signal = status & 0x7F
        return signal == 0 ? "exited with status \(status >> 8 & 0xFF)" : "was ended by signal \(signal)"
    }
}
