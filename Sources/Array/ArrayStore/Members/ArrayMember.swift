import MDFormat
import MemberIO

/// A member and the superblock that was found on it.
package struct ArrayMember: Sendable {
    /// The open member.
    package let store: any PlacedMember
    /// The superblock as it was when the array was opened.
    package let superblock: MDSuperblock

    /// The number of bytes at the start of its data area that a replacement has. Without an offset it has everything.
    func filledByteCount(_ geometry: ArrayGeometry) -> UInt64 {
        min(superblock.recoveryByteOffset ?? geometry.memberDataByteCount, geometry.memberDataByteCount)
    }

    /// Writes a superblock to the member and returns when it is durable.
    func write(_ superblock: MDSuperblock) throws(ArrayStoreError) {
        var sealed = superblock
        sealed.seal()
        do throws(MemberStoreError) {
            try store.write(bytes: sealed.bytes, at: MDSuperblock.byteOffset)
        } catch {
            throw ArrayStoreError("cannot write the superblock of \(store.name): \(error)", cause: error)
        }
        try flush()
    }

    /// Empties the member's log, if it has one. Only parts that are not empty are written. The first header is
    /// invalidated first, so a crash on the way leaves a log that is empty or invalid, but never one with outdated
    /// entries. Nothing of an older log remains: md follows units one after another, so an old unit of md's would count
    /// behind a new header.
    /// - Parameter signature: the array's signature in log headers.
    func emptyLog(signature: UInt32) throws(ArrayStoreError) {
        guard let range = superblock.partialParityLogRange else { return }
        let header = MDPartialParityLog().encoded(signature: signature)
        do throws(MemberStoreError) {
            let rest = try blocksWithData(in: range.lowerBound + UInt64(header.count)..<range.upperBound)
            let found = try store.bytes(at: range.lowerBound, count: header.count)
            guard found != header || !rest.isEmpty else { return }
            let zeros = [UInt8](repeating: 0, count: header.count)
            try store.write(bytes: zeros, at: range.lowerBound)
            try store.flush()
            for block in rest { try store.write(bytes: Array(zeros[..<block.count]), at: block.lowerBound) }
            try store.flush()
            try store.write(bytes: header, at: range.lowerBound)
            try store.flush()
        } catch {
            throw ArrayStoreError(
                "cannot write the log of \(store.name): \(error); move it away to serve the array without it",
                cause: error)
        }
    }

    /// Invalidates the member's log, if it has one. To be called for a replacement, whose role has its entries in
    /// another member's log. Until the planner writes this log too, a crash must not be recovered from the logs alone.
    func invalidateLog() throws(ArrayStoreError) {
        guard let range = superblock.partialParityLogRange else { return }
        let nothing = [UInt8](repeating: 0, count: MDPartialParityLog.headerByteCount)
        do throws(MemberStoreError) {
            try store.write(bytes: nothing, at: range.lowerBound)
            try store.flush()
        } catch { throw ArrayStoreError("cannot write the log of \(store.name): \(error)", cause: error) }
    }

    /// The blocks of a range that are not all zeros.
    private func blocksWithData(in range: Range<UInt64>) throws(MemberStoreError) -> [Range<UInt64>] {
        let byteCount = UInt64(MDPartialParityLog.headerByteCount)
        var blocks: [Range<UInt64>] = []
        var byteOffset = range.lowerBound
        while byteOffset < range.upperBound, let data = try store.nextData(from: byteOffset), data < range.upperBound {
            byteOffset += (data - byteOffset) / byteCount * byteCount
            let block = byteOffset..<min(byteOffset + byteCount, range.upperBound)
            let bytes = try store.bytes(at: byteOffset, count: block.count)
            if !bytes.allSatisfy({ $0 == 0 }) { blocks.append(block) }
            byteOffset = block.upperBound
        }
        return blocks
    }

    /// Makes everything that was written to the member durable.
    func flush() throws(ArrayStoreError) {
        do throws(MemberStoreError) { try store.flush() } catch {
            throw ArrayStoreError("cannot flush \(store.name): \(error)", cause: error)
        }
    }
}
