import MDFormat
import MemberIO
import Platform
import RAID

/// Makes the parity of a RAID 5 array right after it was not stopped cleanly. All its members are there.
///
/// Only places at which some member has data are looked at: where all have holes, zeros are their own parity. Parity that
/// cannot be read is written anew like any that is wrong. Data that cannot be read follows from parity, but that is what
/// is in doubt: so it is computed only if that is wanted.
final class ParityResync {
    /// Rows that are read at a time, at most: 64 blocks.
    private static let stepByteCountMax: UInt64 = 256 << 10
    /// What is read alone where a step cannot be read.
    private static let blockByteCount = 4096

    private let geometry: ArrayGeometry
    private let members: [any MemberStore]
    /// A divisor of the chunk, so that a step is in one stripe.
    private let stepByteCount: UInt64
    /// A step of each member, and the parity that they should have.
    private let blocks: [UnsafeMutableBufferPointer<UInt64>]
    private let expected: UnsafeMutableBufferPointer<UInt64>
    /// One bit for each block of a member's step that it cannot read.
    private var unreadable: [UInt64]
    private let computesUnreadable: Bool
    private let startUp: StartUp
    /// Bytes of parity that were wrong and have been rewritten.
    private(set) var repairedByteCount: UInt64 = 0
    /// Data that could not be read and was computed and rewritten, in bytes of the array.
    private(set) var computed: [Range<UInt64>] = []

    /// - Parameters:
    ///   - members: all, by role.
    ///   - computesUnreadable: data that cannot be read is computed, and may be wrong; otherwise it is an error.
    ///   - startUp: hears how many bytes are done, and says whether they are still wanted.
    init(
        _ geometry: ArrayGeometry, _ members: [any MemberStore], computesUnreadable: Bool, startUp: StartUp = StartUp()
    ) {
        self.startUp = startUp
        self.geometry = geometry
        self.members = members
        self.computesUnreadable = computesUnreadable
        unreadable = Array(repeating: 0, count: members.count)
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
    /// - Parameter ranges: where to look, in bytes of the members' data; each is rounded out to whole steps.
    func run(_ ranges: [Range<UInt64>]) throws(ArrayStoreError) {
        for range in ranges { try run(range) }
        for member in members {
            do throws(MemberStoreError) { try member.flush() } catch { throw failure("flush", member, error) }
        }
    }

    private func run(_ range: Range<UInt64>) throws(ArrayStoreError) {
        let end = min(range.upperBound, geometry.memberDataByteCount)
        var next = try firstStep(in: range.lowerBound / stepByteCount * stepByteCount, end)
        var position = range.lowerBound
        while let current = next {
            try check(current)
            try startUp.advanceOrThrow(by: current + stepByteCount - min(position, current + stepByteCount))
            position = current + stepByteCount
            next = try firstStep(in: position, end)
        }
        try startUp.advanceOrThrow(by: end - min(position, end))
    }

    /// Reads the rows of a step, `offset` being their place in the members' data, and rewrites their parity if it is
    /// wrong.
    private func check(_ offset: UInt64) throws(ArrayStoreError) {
        let byteOffset = geometry.dataByteOffset + offset
        for index in members.indices { try read(index, at: byteOffset) }
        let parity = geometry.parityMember(stripe: offset / geometry.chunkByteCount)
        var unreadableData: UInt64 = 0
        for index in members.indices where index != parity { unreadableData |= unreadable[index] }
        while unreadableData != 0 {
            try compute(block: unreadableData.trailingZeroBitCount, of: offset)
            unreadableData &= unreadableData - 1
        }
        expected.update(repeating: 0)
        for index in blocks.indices where index != parity {
            for word in expected.indices { expected[word] ^= blocks[index][word] }
        }
        guard unreadable[parity] != 0 || !expected.elementsEqual(blocks[parity]) else { return }
        do throws(MemberStoreError) {
            try members[parity].write(UnsafeRawBufferPointer(expected), at: byteOffset)
        } catch { throw failure("write", members[parity], error) }
        repairedByteCount += stepByteCount
    }

    /// Reads a member's step as far as it can be read, and notes what cannot.
    private func read(_ index: Int, at byteOffset: UInt64) throws(ArrayStoreError) {
        let step = UnsafeMutableRawBufferPointer(blocks[index])
        unreadable[index] = 0
        do throws(MemberStoreError) { return try members[index].read(into: step, at: byteOffset) } catch {
            guard error.status == .unreadable else { throw failure("read", members[index], error) }
        }
        for block in 0..<step.count / Self.blockByteCount {
            let start = block * Self.blockByteCount
            let bytes = UnsafeMutableRawBufferPointer(rebasing: step[start..<start + Self.blockByteCount])
            do throws(MemberStoreError) { try members[index].read(into: bytes, at: byteOffset + UInt64(start)) } catch {
                guard error.status == .unreadable else { throw failure("read", members[index], error) }
                unreadable[index] |= 1 << UInt64(block)
            }
        }
    }

    /// Computes data that one member cannot read from what all others have there, and writes it.
    private func compute(block: Int, of offset: UInt64) throws(ArrayStoreError) {
        let owners = members.indices.filter { unreadable[$0] >> UInt64(block) & 1 != 0 }
        let start = offset + UInt64(block * Self.blockByteCount)
        let names = owners.map { members[$0].name }.joined(separator: " and ")
        guard owners.count == 1, let owner = owners.first else {
            throw ArrayStoreError(
                "\(names) cannot read the 4096 bytes at byte \(geometry.dataByteOffset + start), and there is no other "
                    + "copy; move one of them away and serve the array without it, with --force", .memberIO)
        }
        guard computesUnreadable else {
            throw ArrayStoreError(
                "\(names) cannot read the 4096 bytes at byte \(geometry.dataByteOffset + start); what was there follows "
                    + "from the other members, unless it was being written: accept that with --force", .dirtyAndDegraded
            )
        }
        let words = block * Self.blockByteCount / 8..<(block + 1) * Self.blockByteCount / 8
        for word in words {
            blocks[owner][word] = 0
            for other in members.indices where other != owner { blocks[owner][word] ^= blocks[other][word] }
        }
        do throws(MemberStoreError) {
            let bytes = UnsafeBufferPointer(rebasing: blocks[owner][words])
            try members[owner].write(UnsafeRawBufferPointer(bytes), at: geometry.dataByteOffset + start)
        } catch { throw failure("write", members[owner], error) }
        let first = arrayByteOffset(of: start, on: owner)
        computed.append(first..<first + UInt64(Self.blockByteCount))
    }

    private func arrayByteOffset(of offset: UInt64, on role: Int) -> UInt64 {
        let stripe = offset / geometry.chunkByteCount
        let column = geometry.column(stripe: stripe, member: role)
        return stripe * geometry.stripeByteCount + UInt64(column) * geometry.chunkByteCount
            + offset % geometry.chunkByteCount
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

extension StartUp {
    /// Says how much more is done.
    /// - Throws: when it is not wanted any more.
    func advanceOrThrow(by count: UInt64) throws(ArrayStoreError) {
        guard advance(by: count) else { throw ArrayStoreError("the start was ended", .cancelled) }
    }
}
