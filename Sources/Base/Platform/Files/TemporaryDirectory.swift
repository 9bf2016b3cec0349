import CLinux
import Glibc

/// A directory for temporary files. It is removed with its owner, or when the process ends for any reason.
///
/// A signal from the terminal removes it before it ends the process. A shell that waits for the process covers SIGKILL
/// and crashes. The shell keeps the process's outputs open, so a reader who reads them to the end finds the directory
/// gone.
///
/// Threads: any.
package final class TemporaryDirectory: Sendable {
    /// The directory's path.
    package let path: String
    private let keeper: Keeper?

    /// - Parameter name: a part of the directory's name.
    /// - Throws: when it cannot be made.
    package init(name: String) throws(OSError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        path = "\(parent)/nbdext-\(name)-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        // The keeper starts before the directory is made, so the process cannot end in between and leave the directory
        // behind.
        keeper = Keeper(path)
        InterruptedDirectories.add(path)
        // All properties are set, so `deinit` runs and releases both.
        guard mkdir(path, 0o700) == 0 else { throw OSError(code: errno, doing: "make a directory in \(parent)") }
    }

    deinit {
        Directory.remove(path)
        InterruptedDirectories.remove(path)
        keeper?.end()
    }
}

/// Opens a pipe whose ends are closed on exec.
private func openPipe(_ ends: inout [Int32]) -> Bool {
    guard pipe(&ends) == 0 else { return false }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return true
}

/// A shell that removes a directory when this process is gone.
private struct Keeper: Sendable {
    private let process: pid_t
    /// The write end of a pipe. The shell waits until it is closed.
    private let pipe: Int32

    init?(_ directory: String) {
        var ends: [Int32] = [0, 0]
        guard openPipe(&ends) else { return nil }
        defer { close(ends[0]) }
        let script = "trap '' HUP INT TERM; read -r none; rm -rf -- \"$0\""
        guard let process = ShellProcess.start(script, directory, input: ends[0]) else {
            close(ends[1])
            return nil
        }
        self.process = process
        pipe = ends[1]
    }

    func end() {
        close(pipe)
        ShellProcess.wait(for: process)
    }
}

/// The directories to remove when a signal ends the process.
private enum InterruptedDirectories {
    private static let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) static var paths: Set<String> = []
    /// The signal handler writes the signal's number here, for the thread that removes the directories.
    private static let pipe: [Int32] = install()

    static func add(_ path: String) {
        _ = pipe
        lock.withLock { _ = paths.insert(path) }
    }

    static func remove(_ path: String) { lock.withLock { _ = paths.remove(path) } }

    private static func install() -> [Int32] {
        var ends: [Int32] = [-1, -1]
        guard openPipe(&ends) else { return ends }
        let reader = ends[0]
        let thread = try? OSThread(name: "interrupted") {
            var number: UInt8 = 0
            while read(reader, &number, 1) < 0 && errno == EINTR {}
            for path in lock.withLock({ paths }) { Directory.remove(path) }
            signal(Int32(number), SIG_DFL)
            kill(getpid(), Int32(number))
        }
        thread?.detach()
        nbdext_tell_of_interruptions(ends[1])
        return ends
    }
}
