import CLinux
import Glibc

/// A shell that cleans up after this process: it waits for the end of its input, which comes when this process is gone.
package enum ShellProcess {
    /// Starts a shell in a process group of its own. It inherits this process's outputs and nothing else.
    ///
    /// - Parameters:
    ///   - script: the shell's script; `$0` is `argument`.
    ///   - input: the shell's standard input.
    /// - Returns: the shell's process, a child that has to be waited for; nil where there is no shell. Any thread.
    package static func start(_ script: String, _ argument: String, input: Int32) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        _ = nbdext_spawn_closing_from(&actions, STDERR_FILENO + 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Signals for this process or its group, such as a key at the terminal, are not for the shell.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let words = ["sh", "-c", script, argument]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        guard posix_spawn(&process, "/bin/sh", &actions, &attributes, &arguments, environ) == 0 else { return nil }
        return process
    }

    /// Waits for a child's end and discards its status.
    package static func wait(for process: pid_t) { while waitpid(process, nil, 0) < 0 && errno == EINTR {} }
}
