import MDFormat
import Platform
import RAID

/// A small array of three members in a temporary directory, which is removed together with this object.
package final class TemporaryArray: Sendable {
    private let temporary: TemporaryDirectory
    /// The path of the directory.
    package var directory: String { temporary.path }

    /// - Throws: when there is no room for the array.
    package init(name: String, level: RAIDLevel = .raid5, byteCount: UInt64) throws {
        temporary = try TemporaryDirectory(name: name)
        let plan = ArrayStore.Plan(
            level: level, memberCount: 3, byteCount: byteCount, chunkByteCount: 64 << 10, name: name)
        _ = try ArrayStore.create(directory: temporary.path, plan: plan, force: true)
    }
}
