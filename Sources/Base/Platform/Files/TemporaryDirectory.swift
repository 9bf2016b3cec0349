import CLinux
import Glibc

/// A directory for temporary files that goes away with its owner, and with the process, however that ends.
///
/// A signal that ends the process at a terminal removes it first. For the ends that nobody can catch there is a shell that
/// waits for the process: it keeps the process's outputs open, so whoever reads them to the end finds nothing left.
///
/// Threads: any.
package final class TemporaryDirectory: Sendable {
    package let path: String
    private let keeper: Keeper?

    /// - Parameter name: a part of the directory's name.
    /// - Throws: when it cannot be made.
    package init(name: String) throws(OSError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        path = "\(parent)/nbdext-\(name)-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        // First whoever removes it, then the directory: there is no moment in which an end of the process leaves it behind.
        keeper = Keeper(path)
        InterruptedDirectories.add(path)
        // Everything is set, so `deinit` follows and lets go of both.
        guard mkdir(path, 0o700) == 0 else { throw OSError(code: errno, doing: "make a directory in \(parent)") }
    }

    deinit {
        Directory.remove(path)
        InterruptedDirectories.remove(path)
        keeper?.end()
    }
}

/// Opens a pipe that no program inherits.
private func openPipe(_ ends: inout [Int32]) -> Bool {
    guard pipe(&ends) == 0 else { return false }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return true
}

/// A shell that removes a directory when this process is gone.
private struct Keeper: Sendable {
    private let process: pid_t
    /// The shell reads the other end, until this one is closed.
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
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) static var paths: Set<String> = []
    /// Where the handler tells the thread which signal came.
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
