import CLinux
import Glibc

/// Runs another process to its end.
package enum ChildProcess {
    /// What a program left.
    package struct Outcome: Sendable {
        /// Its standard output and standard error as one text.
        package let output: String
        /// Its exit status, 0 for success; nil when a signal ended it.
        package let status: Int32?
        /// Whether a signal ended it.
        package var wasKilled: Bool { status == nil }
    }

    /// The directories of `PATH`, in its order.
    package static var searchPath: [String] {
        (getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin").split(separator: ":").map(String.init)
    }

    /// The path of a program in a directory of `PATH`, or nil.
    package static func find(_ program: String) -> String? {
        searchPath.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    /// Starts a program and waits for its end.
    ///
    /// - Parameter arguments: the program's path, then its arguments.
    /// - Throws: `OSError` when it cannot be started.
    package static func run(_ arguments: [String]) throws(OSError) -> Outcome {
        var ends: [Int32] = [0, 0]
        // Another program that is started at the same time must not keep this one's pipe open.
        let code = nbdext_pipe(&ends)
        guard code == 0 else { throw OSError(code: -code, doing: "make a pipe") }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
        var child: pid_t = 0
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        let status = posix_spawn(&child, arguments[0], &actions, nil, &pointers, environ)
        close(ends[1])
        guard status == 0 else { throw OSError(code: status, doing: "start \(arguments[0])") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(ends[0], &chunk, chunk.count)
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        var result: Int32 = 0
        waitpid(child, &result, 0)
        return Outcome(
            output: String(decoding: bytes, as: UTF8.self), status: result & 0x7F != 0 ? nil : result >> 8 & 0xFF)
    }
}
