import Glibc
import Platform

/// Kills a driver's process group when this process is gone, however it ended. It is a shell, no child of this process,
/// that waits for the end of a connection. It does not rely on the driver, which may hang or not be a driver at all.
///
/// Threads: one at a time.
struct GroupKeeper: ~Copyable {
    /// The shell has the other end.
    private let connection: Int32

    /// The first shell ends at once, so the second one is no child of this process. A word on the connection means that
    /// the group has ended.
    private static let script =
        "exec 3<&0; (trap '' HUP INT TERM; read -r word <&3 || kill -KILL \"-$0\") >/dev/null 2>&1 &"

    /// - Returns: nil where there is no shell. Then the group may outlive this process.
    init?(group: pid_t) {
        var ends: [Int32] = [0, 0]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0, &ends) == 0 else { return nil }
        defer { close(ends[0]) }
        guard let process = ShellProcess.start(Self.script, "\(group)", input: ends[0]) else {
            close(ends[1])
            return nil
        }
        ShellProcess.wait(for: process)
        connection = ends[1]
    }

    deinit { close(connection) }

    /// Ends the keeper: the group is gone, and the system may reuse its number.
    consuming func end() { _ = send(connection, "gone\n", 5, Int32(MSG_NOSIGNAL)) }
}
