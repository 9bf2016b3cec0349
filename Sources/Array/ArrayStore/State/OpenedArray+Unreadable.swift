import MDFormat
import MemberIO
import RAID

/// Finding unreadable blocks, for messages.
extension OpenedArray {
    /// The size of a single read in the search for unreadable blocks.
    private static let blockByteCount: UInt64 = 4096

    /// Reads a range of the members' data areas block by block, after it could not be read as a whole. Blocks.
    /// - Parameter range: bytes of the members' data, inside one stripe.
    /// - Returns: a text with the unreadable bytes of the members, and the bytes of the array that are lost with them;
    ///   nil when everything can be read.
    package func unreadableText(in range: Range<UInt64>) -> String? {
        let (stores, missing) = lock.withLock {
            (
                membership.roles.map { failedRoles.contains($0) || recovering?.role == $0 ? nil : current[$0]?.store },
                recovering?.role ?? failedRoles.first
            )
        }
        var members: [String] = []
        var lost: [Range<UInt64>] = []
        for (role, store) in zip(membership.roles, stores) {
            guard let store else { continue }
            let unreadable = Self.unreadableRanges(of: store, in: range, geometry)
            guard !unreadable.isEmpty else { continue }
            let text = Self.list(
                unreadable.map { $0.lowerBound + geometry.dataByteOffset..<$0.upperBound + geometry.dataByteOffset })
            members.append("bytes \(text) of member \(role) (\(store.name))")
            for range in unreadable {
                lost += [role, missing].compactMap { $0 }.compactMap { geometry.arrayRange(member: $0, range) }
            }
        }
        guard !members.isEmpty else { return nil }
        lost.sort { $0.lowerBound < $1.lowerBound }
        return "\(members.joined(separator: " and ")) cannot be read, and there is no copy of bytes "
            + "\(Self.list(Self.joined(lost))) of the array"
    }

    private static func unreadableRanges(
        of store: any PlacedMember, in range: Range<UInt64>, _ geometry: ArrayGeometry
    ) -> [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        var position = range.lowerBound
        while position < range.upperBound {
            let count = min(blockByteCount, range.upperBound - position)
            do throws(MemberStoreError) {
                _ = try store.bytes(at: geometry.dataByteOffset + position, count: Int(count))
            } catch { ranges.append(position..<position + count) }
            position += count
        }
        return joined(ranges)
    }

    /// Joins adjacent ranges, which are in ascending order.
    private static func joined(_ ranges: [Range<UInt64>]) -> [Range<UInt64>] {
        var joined: [Range<UInt64>] = []
        for range in ranges {
            if let last = joined.last, range.lowerBound <= last.upperBound {
                joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                joined.append(range)
            }
        }
        return joined
    }

    private static func list(_ ranges: [Range<UInt64>]) -> String {
        ranges.map { "\($0.lowerBound) to \($0.upperBound - 1)" }.joined(separator: ", ")
    }
}
