import Glibc
import Platform

/// Somebody who kills a driver's process group when this process is gone, however it has ended: a shell, no child of this
/// process, that waits for the end of a connection. The driver is not asked, which may stand still or not be one at all.
///
/// Threads: one at a time.
struct GroupKeeper: ~Copyable {
    /// The shell has the other end.
    private let connection: Int32

    /// The first shell ends at once, and the second one is nobody's child. What is read says that the group is gone.
    private static let script =
        "exec 3<&0; (trap '' HUP INT TERM; read -r word <&3 || kill -KILL \"-$0\") >/dev/null 2>&1 &"

    /// - Returns: nil where there is no shell: then the group may outlive this process.
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

    /// The group is gone, and its number may be another's soon.
    consuming func end() { _ = send(connection, "gone\n", 5, Int32(MSG_NOSIGNAL)) }
}
