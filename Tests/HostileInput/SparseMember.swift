import ArrayStore
import MemberIO
import Members
import Synchronization

/// A member in memory of which only the blocks that were written exist, so that it can have any size.
package final class SparseMember: PlacedMember {
    private static let blockByteCount: UInt64 = 4096

    private struct State {
        var byteCount: UInt64
        var blocks: [UInt64: [UInt8]] = [:]
        var writeCount = 0
    }

    package let name: String
    package let place = MemberPlace.none
    private let state: Mutex<State>

    package init(name: String, byteCount: UInt64) {
        self.name = name
        state = Mutex(State(byteCount: byteCount))
    }

    /// May be changed, as a file may be cut short.
    package var byteCount: UInt64 {
        get { state.withLock { $0.byteCount } }
        set { state.withLock { $0.byteCount = newValue } }
    }

    /// Calls of `write` so far.
    package var writeCount: Int { state.withLock { $0.writeCount } }

    package func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        let isInside = state.withLock { state in
            guard Self.isInside(byteOffset, memory.count, state.byteCount) else { return false }
            Self.forEachPart(byteOffset, memory.count) { block, start, range in
                let target = UnsafeMutableRawBufferPointer(rebasing: memory[range])
                if let bytes = state.blocks[block] {
                    target.copyBytes(from: bytes[start..<start + range.count])
                } else {
                    target.initializeMemory(as: UInt8.self, repeating: 0)
                }
            }
            return true
        }
        guard isInside else { throw MemberStoreError(.failed, "the file has ended") }
    }

    package func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        let isInside = state.withLock { state in
            state.writeCount += 1
            guard Self.isInside(byteOffset, memory.count, state.byteCount) else { return false }
            Self.forEachPart(byteOffset, memory.count) { block, start, range in
                let part = UnsafeRawBufferPointer(rebasing: memory[range])
                state.blocks[block, default: Array(repeating: 0, count: Int(Self.blockByteCount))]
                    .replaceSubrange(start..<start + range.count, with: part)
            }
            return true
        }
        guard isInside else { throw MemberStoreError(.failed, "the file has ended") }
    }

    package func flush() throws(MemberStoreError) {}

    package func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? {
        state.withLock { state in
            let first = byteOffset / Self.blockByteCount
            return state.blocks.keys.filter { $0 >= first }.min().map { max($0 * Self.blockByteCount, byteOffset) }
        }
    }

    private static func isInside(_ byteOffset: UInt64, _ count: Int, _ byteCount: UInt64) -> Bool {
        byteOffset <= byteCount && UInt64(count) <= byteCount - byteOffset
    }

    /// Calls `body` for each block of a range: its number, the first byte in it, and which part of the range it has.
    private static func forEachPart(_ byteOffset: UInt64, _ count: Int, _ body: (UInt64, Int, Range<Int>) -> Void) {
        var done = 0
        while done < count {
            let position = byteOffset + UInt64(done)
            let start = Int(position % blockByteCount)
            let length = min(Int(blockByteCount) - start, count - done)
            body(position / blockByteCount, start, done..<done + length)
            done += length
        }
    }
}

/// A bay for members that no lane works on.
package final class IdleBay: RoleBay {
    package let place = MemberPlace.none

    package init() {}
    package func put(_ member: MemberPlace) -> Bool { true }
    package func clear() {}
}
