import Glibc
import Platform
import RAID

/// A small RAID 5 array in a directory for temporary files, which goes away with its owner.
package final class TemporaryArray: Sendable {
    package let directory: String

    /// - Throws: when there is no room for it.
    package init(name: String, byteCount: UInt64) throws {
        var template = Array("/tmp/nbdext-\(name)-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template) else { throw OSError(code: errno, doing: "make a directory in /tmp") }
        directory = String(cString: path)
        let plan = ArrayStore.Plan(
            level: .raid5, memberCount: 3, byteCount: byteCount, chunkByteCount: 64 << 10, name: name)
        _ = try ArrayStore.create(directory: directory, plan: plan, force: true)
    }

    deinit {
        if let list = opendir(directory) {
            while let entry = readdir(list) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != "." && name != ".." { unlink("\(directory)/\(name)") }
            }
            closedir(list)
        }
        rmdir(directory)
    }
}
