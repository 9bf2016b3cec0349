import MemberIO
import RAID

/// Makes the parity of a RAID 5 array right after it was not stopped cleanly. All its members are there.
///
/// Only places at which some member has data are looked at: where all have holes, zeros are their own parity.
final class ParityResync {
    /// Rows that are read at a time, at most.
    private static let stepByteCountMax: UInt64 = 256 << 10

    private let geometry: ArrayGeometry
    private let members: [any MemberStore]
    /// A divisor of the chunk, so that a step is in one stripe.
    private let stepByteCount: UInt64
    /// A step of each member, and the parity that they should have.
    private let blocks: [UnsafeMutableBufferPointer<UInt64>]
    private let expected: UnsafeMutableBufferPointer<UInt64>
    private var repairedByteCount: UInt64 = 0

    private init(_ geometry: ArrayGeometry, _ members: [any MemberStore]) {
        self.geometry = geometry
        self.members = members
        stepByteCount = min(geometry.chunkByteCount, Self.stepByteCountMax)
        let wordCount = Int(stepByteCount / 8)
        blocks = members.map { _ in .allocate(capacity: wordCount) }
        expected = .allocate(capacity: wordCount)
    }

    deinit {
        for block in blocks { block.deallocate() }
        expected.deallocate()
    }

    /// Checks parity. When it returns, right parity is durable.
    /// - Parameters:
    ///   - members: all, by role.
    ///   - ranges: where to look, in bytes of the members' data; each is rounded out to whole steps.
    /// - Returns: bytes of parity that were wrong and have been rewritten.
    static func run(
        _ geometry: ArrayGeometry, _ members: [any MemberStore], ranges: [Range<UInt64>]
    ) throws(ArrayStoreError) -> UInt64 {
        let resync = ParityResync(geometry, members)
        for range in ranges { try resync.run(range) }
        for member in members {
            do throws(MemberStoreError) { try member.flush() } catch { throw resync.failure("flush", member, error) }
        }
        return resync.repairedByteCount
    }

    private func run(_ range: Range<UInt64>) throws(ArrayStoreError) {
        let end = min(range.upperBound, geometry.memberDataByteCount)
        var next = try firstStep(in: range.lowerBound / stepByteCount * stepByteCount, end)
        while let current = next {
            try check(current)
            next = try firstStep(in: current + stepByteCount, end)
        }
    }

    /// Reads the rows of a step, `offset` being their place in the members' data, and rewrites their parity if it is
    /// wrong.
    private func check(_ offset: UInt64) throws(ArrayStoreError) {
        let byteOffset = geometry.dataByteOffset + offset
        for (member, block) in zip(members, blocks) {
            do throws(MemberStoreError) {
                try member.read(into: UnsafeMutableRawBufferPointer(block), at: byteOffset)
            } catch { throw failure("read", member, error) }
        }
        let parity = geometry.parityMember(stripe: offset / geometry.chunkByteCount)
        expected.update(repeating: 0)
        for index in blocks.indices where index != parity {
            for word in expected.indices { expected[word] ^= blocks[index][word] }
        }
        guard !expected.elementsEqual(blocks[parity]) else { return }
        do throws(MemberStoreError) {
            try members[parity].write(UnsafeRawBufferPointer(expected), at: byteOffset)
        } catch { throw failure("write", members[parity], error) }
        repairedByteCount += stepByteCount
    }

    /// The first step, from `offset` up to `end`, at which a member has data; nil when there is none.
    private func firstStep(in offset: UInt64, _ end: UInt64) throws(ArrayStoreError) -> UInt64? {
        guard offset < end else { return nil }
        var first: UInt64?
        for member in members {
            do throws(MemberStoreError) {
                guard let data = try member.nextData(from: geometry.dataByteOffset + offset) else { continue }
                first = min(first ?? data, data)
            } catch { throw failure("look for the holes of", member, error) }
        }
        guard let first else { return nil }
        let step = (first - geometry.dataByteOffset) / stepByteCount * stepByteCount
        return step < end ? step : nil
    }

    private func failure(_ doing: String, _ member: any MemberStore, _ error: MemberStoreError) -> ArrayStoreError {
        ArrayStoreError(
            "cannot \(doing) \(member.name): \(error); move it away and serve the array without it, with --force",
            .memberIO)
    }
}
