import CLinux
import Glibc
import Platform
import SCSIControllerDriverKit

/// A user and a group of the system, by numbers.
package struct SystemUser: Sendable {
    /// The user ID.
    package var user: UInt32
    /// The ID of the user's login group.
    package var group: UInt32

    /// Looks a user up by name. Nil when there is none.
    package init?(name: String) {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var texts = [CChar](repeating: 0, count: 16384)
        guard getpwnam_r(name, &entry, &texts, texts.count, &found) == 0, found != nil else { return nil }
        user = entry.pw_uid
        group = entry.pw_gid
    }
}

/// A driver's process. It gets a control socket, a channel, the data arena, a pipe for its output, and nothing else of
/// the server's. It is confined as far as the kernel allows.
///
/// Threads: any.
final class DriverChild: @unchecked Sendable {
    // SAFETY: `ending` and `keeper` change under `lock`; nothing else changes.
    let process: pid_t
    let executable: String
    /// Whether a seccomp filter refuses the system calls that reach other processes.
    let isFiltered: Bool
    private let lock = Lock()
    /// How the process ended. Afterwards the system may reuse its number.
    private var ending: String?
    private var keeper: GroupKeeper?

    /// - Parameters:
    ///   - program: the driver's.
    ///   - errors: the descriptor for both of its outputs.
    ///   - socket: its end of the control link.
    ///   - channel, arena: memory files.
    /// - Throws: when the program cannot be started.
    init(
        program: DriverProgram, errors: Int32, socket: Int32, channel: Int32, arena: Int32, arenaByteCount: Int
    ) throws {
        let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard nothing >= 0 else { throw OSError(code: errno, doing: "open /dev/null") }
        defer { close(nothing) }
        executable = program.path
        // Numbers above those that the process gets.
        let files = [nothing, errors, errors, socket, channel, arena]
        let copies = files.map { fcntl($0, F_DUPFD_CLOEXEC, 64) }
        let code = errno
        defer { for copy in copies where copy >= 0 { close(copy) } }
        guard copies.allSatisfy({ $0 >= 0 }) else {
            throw OSError(code: code, doing: "make descriptors for the driver \(executable)")
        }
        let arguments = ([program.path] + program.arguments).map { strdup($0) } + [nil]
        let environment = Self.environment(program, arenaByteCount: arenaByteCount).map { strdup($0) } + [nil]
        defer { for pointer in arguments + environment { free(pointer) } }
        let confinement = Confinement(program: program.path, files: program.files)
        var process: pid_t = 0
        var isFiltered: Int32 = 0
        let status = executable.withCString { path in
            var start = nbdext_driver_start()
            start.path = path
            start.ruleset = confinement.ruleset
            start.user = program.user.map { Int64($0.user) } ?? -1
            start.group = program.user.map { Int64($0.group) } ?? -1
            return arguments.withUnsafeBufferPointer { arguments in
                environment.withUnsafeBufferPointer { environment in
                    copies.withUnsafeBufferPointer { copies in
                        start.arguments = arguments.baseAddress!
                        start.environment = environment.baseAddress!
                        start.descriptors = copies.baseAddress!
                        start.descriptor_count = Int32(copies.count)
                        return nbdext_start_driver(&start, &process, &isFiltered)
                    }
                }
            }
        }
        guard status == 0 else { throw Self.error(status, executable, isOtherUser: program.user != nil) }
        self.process = process
        self.isFiltered = isFiltered != 0
        keeper = GroupKeeper(group: process)
    }

    /// The paths of programs and libraries, and nothing else of the server's environment.
    private static func environment(_ program: DriverProgram, arenaByteCount: Int) -> [String] {
        let inherited: [String] = ["PATH", "LD_LIBRARY_PATH"].compactMap { (name: String) -> String? in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
        // A crash ends at once: requests wait for the restart, and a backtrace takes seconds. SWIFT_BACKTRACE overrides
        // this.
        let backtrace = getenv("SWIFT_BACKTRACE").map { String(cString: $0) } ?? "enable=no"
        return ["\(DriverProcessDescriptor.variable)=\(arenaByteCount)", "SWIFT_BACKTRACE=\(backtrace)"] + inherited
            + (program.preloaded.map { ["LD_PRELOAD=\($0)"] + sanitizerOptions } ?? [])
    }

    /// A sanitizer's report ends the driver as a crash does, so that the crash is noted. Leaks cannot be looked for,
    /// since that needs the right to trace processes. ThreadSanitizer judges the driver's accesses only: it does not
    /// see the atomic operations of this project's own code.
    private static let sanitizerOptions = ["ASAN", "TSAN", "UBSAN"].map { name in
        "\(name)_OPTIONS=abort_on_error=1:halt_on_error=1:handle_abort=0:handle_segv=0:detect_leaks=0:print_stacktrace=1"
            + (name == "TSAN" ? ":ignore_noninstrumented_modules=1" : "")
    }

    /// The error for a program that cannot be started, with the way out.
    private static func error(_ code: Int32, _ executable: String, isOtherUser: Bool) -> DriverStartError {
        var status = stat()
        let exists = stat(executable, &status) == 0
        let reason =
            switch code {
            case ENOENT where exists: "cannot be started: its interpreter or loader is missing"
            case ENOENT: "does not exist; give --driver the path of the driver's program"
            case EACCES where exists && status.st_mode & S_IFMT == S_IFDIR:
                "is a directory; give --driver the path of the driver's program"
            case EACCES where exists: "may not be executed; 'chmod +x' it, or name the program that was built"
            case EPERM where isOtherUser: "cannot be started as another user: --driver-user needs root"
            case ENOEXEC: "is not a program for this machine; build the driver here"
            default: "cannot be started: \(String(cString: strerror(code)))"
            }
        return DriverStartError(call: executable, reason: reason)
    }

    /// Kills the process, if it runs, and everything that it has started.
    func kill() { lock.withLock { if ending == nil { killGroup() } } }

    /// Under `lock`. Until the process is waited for, its number and its group's cannot be reused. Killing the group
    /// would be enough, except for a process that has moved to another group.
    private func killGroup() {
        Glibc.kill(process, SIGKILL)
        Glibc.kill(-process, SIGKILL)
    }

    /// Ends the process if it runs, and reaps it. A second caller gets the same answer.
    /// - Returns: how it ended, as a sentence without a subject: "was ended by signal 9".
    func end() -> String {
        // A process that is about to end by itself says more by its own status.
        for _ in 0..<50 {
            if let ending = reap(WNOHANG) { return ending }
            usleep(2000)
        }
        kill()
        return reap(0).map { $0 + " by the server" }!
    }

    /// - Parameter options: WNOHANG, or 0 to wait for the process's end.
    private func reap(_ options: Int32) -> String? {
        lock.withLock {
            if let ending { return ending }
            var information = siginfo_t()
            var result: Int32
            repeat {
                result = waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT | options)
            } while result < 0 && errno == EINTR
            // It still runs.
            if result == 0 && information.si_signo == 0 { return nil }
            guard result == 0 else {
                // Another part of this program has waited for every child, so the number may be reused by now.
                ending = "has ended"
                return ending
            }
            // Everything that it has started ends with it, so that nothing writes to the next driver's memory.
            killGroup()
            keeper.take()?.end()
            var status: Int32 = 0
            repeat { result = waitpid(process, &status, 0) } while result < 0 && errno == EINTR
            ending = result == process ? Self.text(status) : "has ended"
            return ending
        }
    }

    private static func text(_ status: Int32) -> String {
        let signal = status & 0x7F
        return signal == 0 ? "exited with status \(status >> 8 & 0xFF)" : "was ended by signal \(signal)"
    }
}
