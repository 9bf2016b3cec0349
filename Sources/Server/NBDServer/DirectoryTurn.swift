import Glibc
import Platform

/// Servers take turns in a directory where they put sockets, or links to them: between a look at what somebody has left
/// there and its removal, another server could put its own.
package enum DirectoryTurn {
    /// How long another server may take.
    private static let limitMilliseconds: UInt64 = 2000

    /// Calls `body` while the directory of a path is locked. One that nobody may read, or that others keep locked, is used
    /// all the same. No turn in the same directory may be taken inside.
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
