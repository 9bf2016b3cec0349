import Glibc
import Platform

/// A lock on a directory in which servers make sockets, or links to sockets. Without it, a server that removes a file
/// left behind by a dead server could remove another server's new one.
package enum DirectoryTurn {
    /// The longest wait for another server's turn.
    private static let limitMilliseconds: UInt64 = 2000

    /// Calls `body` while the path's directory is locked by flock(2). `body` is called all the same if the directory
    /// cannot be opened, or stays locked for too long. `body` must not take a turn in the same directory.
    package static func take<Result, Failure: Error>(
        for path: String, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let descriptor = open(Directory.parent(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        let limit = monotonicMilliseconds() + limitMilliseconds
        while descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) != 0, monotonicMilliseconds() < limit {
            usleep(5000)
        }
        return try body()
    }
}
