import CLinux
import Glibc
import Platform
import SCSIControllerDriverKit

/// A user of the system, by numbers.
package struct SystemUser: Sendable {
    package var user: UInt32
    package var group: UInt32

    /// Nil when there is no user of that name.
    package init?(name: String) {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var texts = [CChar](repeating: 0, count: 16384)
        guard getpwnam_r(name, &entry, &texts, texts.count, &found) == 0, found != nil else { return nil }
        user = entry.pw_uid
        group = entry.pw_gid
    }
}

/// A driver's process: started with a control socket, a channel, the data arena and a pipe for what it prints, and nothing else
/// that is the server's; and confined, as far as the kernel can see to it.
///
/// Threads: any.
final class DriverChild: @unchecked Sendable {
    // SAFETY: `ending` and `keeper` under `lock`; the rest does not change.
    let process: pid_t
    let executable: String
    /// Whether the kernel refuses it the system calls that reach others.
    let isFiltered: Bool
    private let lock = Lock()
    /// How the process ended; from then on its number may be another's.
    private var ending: String?
    private var keeper: GroupKeeper?

    /// - Parameters:
    ///   - executable: a program whose main function calls `DriverKitMain`.
    ///   - arguments: what it is started with.
    ///   - user: whose rights it has; nil for those of this process.
    ///   - errors: where all goes that it prints.
    ///   - socket: its end of the control link.
    ///   - channel, arena: memory files.
    /// - Throws: when the program cannot be started.
    init(
        executable: String, arguments: [String], user: SystemUser?, errors: Int32, socket: Int32, channel: Int32,
        arena: Int32, arenaByteCount: Int
    ) throws {
        let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard nothing >= 0 else { throw OSError(code: errno, doing: "open /dev/null") }
        defer { close(nothing) }
        self.executable = executable
        // Numbers that are out of the way of those which the process gets.
        let files = [nothing, errors, errors, socket, channel, arena]
        let copies = files.map { fcntl($0, F_DUPFD_CLOEXEC, 64) }
        let code = errno
        defer { for copy in copies where copy >= 0 { close(copy) } }
        guard copies.allSatisfy({ $0 >= 0 }) else {
            throw OSError(code: code, doing: "make descriptors for the driver \(executable)")
        }
        let arguments = ([executable] + arguments).map { strdup($0) } + [nil]
        let environment = Self.environment(arenaByteCount: arenaByteCount).map { strdup($0) } + [nil]
        defer { for pointer in arguments + environment { free(pointer) } }
        let confinement = Confinement(program: executable)
        var process: pid_t = 0
        var isFiltered: Int32 = 0
        let status = executable.withCString { path in
            var start = nbdext_driver_start()
            start.path = path
            start.ruleset = confinement.ruleset
            start.user = user.map { Int64($0.user) } ?? -1
            start.group = user.map { Int64($0.group) } ?? -1
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
        guard status == 0 else { throw Self.error(status, executable, isOtherUser: user != nil) }
        self.process = process
        self.isFiltered = isFiltered != 0
        keeper = GroupKeeper(group: process)
    }

    /// Where programs and libraries are, and nothing else of the server's.
    private static func environment(arenaByteCount: Int) -> [String] {
        let inherited: [String] = ["PATH", "LD_LIBRARY_PATH"].compactMap { (name: String) -> String? in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
        // A crash is over at once: requests wait for it, and a backtrace takes seconds. Who wants one says so.
        let backtrace = getenv("SWIFT_BACKTRACE").map { String(cString: $0) } ?? "enable=no"
        return ["\(DriverProcessDescriptor.variable)=\(arenaByteCount)", "SWIFT_BACKTRACE=\(backtrace)"] + inherited
    }

    /// Why a program cannot be started, and what to do.
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
            case EPERM where isOtherUser: "cannot be started as another user: --driver-user takes the rights of root"
            case ENOEXEC: "is not a program for this machine; build the driver here"
            default: "cannot be started: \(String(cString: strerror(code)))"
            }
        return DriverStartError(call: executable, reason: reason)
    }

    /// Ends it at once if it runs, and all that it has started.
    func kill() { lock.withLock { if ending == nil { killGroup() } } }

    /// The number is the process's own, and its group's, until the process is waited for. The group by itself would do,
    /// but for a process that has moved to another one.
    private func killGroup() {
        Glibc.kill(process, SIGKILL)
        Glibc.kill(-process, SIGKILL)
    }

    /// Ends the process if it runs, and gives back what the system keeps of it. Whoever comes second hears the same.
    /// - Returns: how it ended, as a sentence without a subject: "was ended by signal 9".
    func end() -> String {
        // One that is about to end by itself says more by its own status.
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
            // It runs.
            if result == 0 && information.si_signo == 0 { return nil }
            guard result == 0 else {
                // Somebody else has waited for every child: the number may be another's by now.
                ending = "has ended"
                return ending
            }
            // Whatever it has started ends with it: nobody writes into what the next driver uses.
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
