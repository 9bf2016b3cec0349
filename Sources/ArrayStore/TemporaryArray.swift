import Glibc
import Platform
import RAID

/// A small array of three members in a directory for temporary files, which goes away with its owner.
package final class TemporaryArray: Sendable {
    package let directory: String

    /// - Throws: when there is no room for it.
    package init(name: String, level: RAIDLevel = .raid5, byteCount: UInt64) throws {
        var template = Array("/tmp/nbdext-\(name)-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template) else { throw OSError(code: errno, doing: "make a directory in /tmp") }
        directory = String(cString: path)
        let plan = ArrayStore.Plan(
            level: level, memberCount: 3, byteCount: byteCount, chunkByteCount: 64 << 10, name: name)
        _ = try ArrayStore.create(directory: directory, plan: plan, force: true)
    }

    deinit { Directory.remove(directory) }
}
