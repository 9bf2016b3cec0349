import MDFormat
import MemberIO
import Platform
import RAID

/// Corrects the parity of a RAID 5 array that was not stopped cleanly. All its members must be there.
///
/// Ranges in which all members have holes are skipped, since zeros are their own parity. Parity that cannot be read is
/// rewritten like wrong parity. Data that cannot be read could be computed, but only from the parity that is in doubt,
/// so that needs permission.
final class ParityResync {
    /// The most bytes of each member that are read at a time: 64 blocks.
    private static let stepByteCountMax: UInt64 = 256 << 10
    /// The size of a single read where a step cannot be read as a whole.
    private static let blockByteCount = 4096

    private let geometry: ArrayGeometry
    private let members: [any MemberStore]
    /// Divides the chunk, so that a step lies in one stripe.
    private let stepByteCount: UInt64
    /// One step of each member's data, and the parity that it should have.
    private let blocks: [UnsafeMutableBufferPointer<UInt64>]
    private let expected: UnsafeMutableBufferPointer<UInt64>
    /// By member, one bit for each block of the step that it cannot read.
    private var unreadable: [UInt64]
    private let computesUnreadable: Bool
    private let startUp: StartUp
    /// The number of bytes of parity that were wrong and have been rewritten.
    private(set) var repairedByteCount: UInt64 = 0
    /// The ranges of the array whose data could not be read and was computed and rewritten.
    private(set) var computed: [Range<UInt64>] = []

    /// - Parameters:
    ///   - members: all members, by role.
    ///   - computesUnreadable: whether unreadable data is computed, although it may come out wrong. Otherwise it is an
    ///     error.
    ///   - startUp: told about the bytes that are done; may cancel the work.
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

    /// Checks and corrects parity. Correct parity is durable when this returns.
    /// - Parameter ranges: the ranges to check, in bytes of the members' data. Each is rounded out to whole steps.
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

    /// Reads the step at a byte offset of the members' data, and rewrites its parity if it is wrong.
    private func check(_ offset: UInt64) throws(ArrayStoreError) {
        let byteOffset = geometry.dataByteOffset + offset
        for role in geometry.roles { try read(role, at: byteOffset) }
        let parity = geometry.parityMember(stripe: offset / geometry.chunkByteCount)
        var unreadableData: UInt64 = 0
        for role in geometry.roles where role != parity { unreadableData |= unreadable[role] }
        while unreadableData != 0 {
            try compute(block: unreadableData.trailingZeroBitCount, of: offset)
            unreadableData &= unreadableData - 1
        }
        expected.update(repeating: 0)
        for role in geometry.roles where role != parity {
            for word in expected.indices { expected[word] ^= blocks[role][word] }
        }
        guard unreadable[parity] != 0 || !expected.elementsEqual(blocks[parity]) else { return }
        do throws(MemberStoreError) {
            try members[parity].write(UnsafeRawBufferPointer(expected), at: byteOffset)
        } catch { throw failure("write", members[parity], error) }
        repairedByteCount += stepByteCount
    }

    /// Reads as much of a member's step as possible, and notes the unreadable blocks.
    private func read(_ role: Role, at byteOffset: UInt64) throws(ArrayStoreError) {
        let step = UnsafeMutableRawBufferPointer(blocks[role])
        unreadable[role] = 0
        do throws(MemberStoreError) { return try members[role].read(into: step, at: byteOffset) } catch {
            guard error.status == .unreadable else { throw failure("read", members[role], error) }
        }
        for block in 0..<step.count / Self.blockByteCount {
            let start = block * Self.blockByteCount
            let bytes = UnsafeMutableRawBufferPointer(rebasing: step[start..<start + Self.blockByteCount])
            do throws(MemberStoreError) { try members[role].read(into: bytes, at: byteOffset + UInt64(start)) } catch {
                guard error.status == .unreadable else { throw failure("read", members[role], error) }
                unreadable[role] |= 1 << UInt64(block)
            }
        }
    }

    /// Computes and rewrites data that one member cannot read, from the same block of all other members.
    private func compute(block: Int, of offset: UInt64) throws(ArrayStoreError) {
        let owners = geometry.roles.filter { unreadable[$0] >> UInt64(block) & 1 != 0 }
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
            for other in geometry.roles where other != owner { blocks[owner][word] ^= blocks[other][word] }
        }
        do throws(MemberStoreError) {
            let bytes = UnsafeBufferPointer(rebasing: blocks[owner][words])
            try members[owner].write(UnsafeRawBufferPointer(bytes), at: geometry.dataByteOffset + start)
        } catch { throw failure("write", members[owner], error) }
        let first = arrayByteOffset(of: start, on: owner)
        computed.append(first..<first + UInt64(Self.blockByteCount))
    }

    private func arrayByteOffset(of offset: UInt64, on role: Role) -> UInt64 {
        let stripe = offset / geometry.chunkByteCount
        let column = geometry.column(stripe: stripe, member: role)
        return stripe * geometry.stripeByteCount + UInt64(column) * geometry.chunkByteCount
            + offset % geometry.chunkByteCount
    }

    /// The first step from `offset` up to `end` in which a member has data; nil when there is none.
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
            cause: error)
    }
}

extension StartUp {
    /// Reports progress.
    /// - Throws: `.cancelled` when the start was cancelled.
    func advanceOrThrow(by count: UInt64) throws(ArrayStoreError) {
        guard advance(by: count) else { throw ArrayStoreError("the start was ended", .cancelled) }
    }
}
