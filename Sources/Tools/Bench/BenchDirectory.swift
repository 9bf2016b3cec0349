import Control
import Glibc
import Platform

/// A temporary directory for the arrays of a comparison.
struct BenchDirectory: Sendable {
    let path: String

    /// Makes the directory.
    ///
    /// - Parameters:
    ///   - parent: the directory that it is made in.
    ///   - byteCount: the room that the arrays need.
    /// - Throws: when there is no room, or when it cannot be made.
    init(in parent: String, byteCount: UInt64) throws {
        var status = statvfs()
        guard statvfs(parent, &status) == 0 else {
            throw OSError(code: errno, doing: "open the directory \(parent)")
        }
        let free = UInt64(status.f_bavail) * UInt64(status.f_frsize)
        guard free > byteCount else {
            throw OperationError(
                "\(parent) has \(ByteSize(byteCount: free)) free and \(ByteSize(byteCount: byteCount)) is needed; "
                    + "use a smaller --size or another --directory")
        }
        var template = Array("\(parent)/nbdext-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw OSError(code: errno, doing: "make a directory in \(parent)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Removes the directory and everything in it.
    ///
    /// - Returns: whether it is gone.
    @discardableResult
    func remove() -> Bool {
        Directory.remove(path)
        return access(path, F_OK) != 0
    }
}
