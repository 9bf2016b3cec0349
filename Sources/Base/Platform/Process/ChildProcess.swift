import Glibc

/// Runs another process to its end.
package enum ChildProcess {
    /// Starts a program and waits for its end.
    ///
    /// - Parameter arguments: the program's path, then its arguments.
    /// - Returns: its standard output and standard error as one text, and whether a signal ended it.
    /// - Throws: `OSError` when it cannot be started.
    package static func run(_ arguments: [String]) throws(OSError) -> (output: String, wasKilled: Bool) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw OSError(code: errno, doing: "make a pipe") }
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
        return (String(decoding: bytes, as: UTF8.self), result & 0x7F != 0)
    }
}
