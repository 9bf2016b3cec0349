import MDFormat
import MemberIO

/// The array's write-intent bitmap, as the planner keeps it: which regions' bits are durable on every member, and which
/// operations wait for bits.
///
/// Bits are written a page at a time, in rounds: all changed pages to all members. Operations that need a bit meanwhile
/// wait for the next round. The planner writes the bits and never the header in front of them.
///
/// Bits of regions that nothing is written to any more are cleared after a flush of all members, and are then written
/// like any others.
struct WriteIntentBitmap {
    /// A part of every member's data area that shares a bit.
    private struct Region: BitwiseCopyable {
        /// The bit is set, durably, on all members.
        var isDurable = false
        /// Nothing has been written to the region since before the flush that precedes clearing.
        var isClearing = false
        /// The tick in which the region was last written to.
        var lastWrite: UInt32 = 0
    }

    private let geometry: ArrayGeometry
    private let regions: UnsafeMutablePointer<Region>
    let regionCount: Int
    /// By role: where the bitmap's header begins in the member file.
    private let byteOffsets: UnsafeMutablePointer<UInt64>
    /// The pages; the first one begins with room for the header, which is not written from here.
    private let memory: UnsafeMutableRawPointer
    private let pageCount: Int
    /// By page: it has changed since a round last wrote it.
    private let isPageChanged: UnsafeMutablePointer<Bool>
    /// By page: the round under way, or the last one, writes it.
    private let isPageInRound: UnsafeMutablePointer<Bool>
    /// Whether a round is wanted.
    private(set) var hasChangedPages = false
    /// Operations that wait for the next round.
    private var waiting = OperationList()
    /// Operations that wait for the round that is under way.
    private(set) var round = OperationList()
    /// Writes of the round that have not come back.
    private var roundOutstanding: UInt32 = 0
    /// The round's outcome: `.noSpace` or `.refused` if a member had no space, or its system did not take a write.
    private var roundStatus = ArrayStatus.done
    /// Flushes before clearing that have not come back.
    private var clearingOutstanding: UInt32 = 0
    /// Those flushes have ended, and `isClearing` says which bits may be cleared.
    private var isReadyToClear = false
    /// Counted from 2, so that a region that was never written to is old from the start.
    private var tick: UInt32 = 2
    private let regionShift: UInt64

    init(_ area: BitmapArea, geometry: ArrayGeometry) {
        self.geometry = geometry
        let bitmap = area.bitmap
        precondition(bitmap.syncSectors * 512 >= geometry.memberDataByteCount, "the bitmap is another array's")
        regionCount = bitmap.bitCount
        regionShift = UInt64(bitmap.chunkByteCount.trailingZeroBitCount)
        regions = .allocate(capacity: regionCount)
        regions.initialize(repeating: Region(), count: regionCount)
        byteOffsets = .allocate(capacity: area.byteOffsets.count)
        for (member, offset) in area.byteOffsets.enumerated() { (byteOffsets + member).initialize(to: offset) }
        let bytes = bitmap.encoded
        pageCount = bytes.count / MDBitmap.pageByteCount
        memory = .allocate(byteCount: bytes.count, alignment: 4096)
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        isPageChanged = .allocate(capacity: pageCount)
        isPageChanged.initialize(repeating: false, count: pageCount)
        isPageInRound = .allocate(capacity: pageCount)
        isPageInRound.initialize(repeating: false, count: pageCount)
        for region in 0..<regionCount { regions[region].isDurable = bitmap.isSet(region) }
    }

    func deallocate() {
        regions.deallocate()
        byteOffsets.deallocate()
        memory.deallocate()
        isPageChanged.deallocate()
        isPageInRound.deallocate()
    }

    // MARK: Bits

    /// The regions that an operation writes to.
    private func regions(of operation: StripeOperation) -> ClosedRange<Int> {
        let range = operation.memberRange(geometry)
        assert(range.upperBound <= geometry.memberDataByteCount, "the operation ends behind the data")
        return Int(range.lowerBound >> regionShift)...Int((range.upperBound - 1) >> regionShift)
    }

    /// Whether a bit of an operation's regions is set.
    func isSet(for operation: StripeOperation) -> Bool { regions(of: operation).contains { isSet($0) } }

    /// Whether the bits of all regions of an operation are durable.
    func isDurable(for operation: StripeOperation) -> Bool {
        regions(of: operation).allSatisfy { regions[$0].isDurable }
    }

    /// The first byte at or behind `byteOffset` in a region whose bit is set, or nil. Bytes of a data area.
    func nextSet(from byteOffset: UInt64) -> UInt64? {
        let first = Int(byteOffset >> regionShift)
        guard let region = (min(first, regionCount)..<regionCount).first(where: { isSet($0) }) else { return nil }
        return max(byteOffset, UInt64(region) << regionShift)
    }

    var setCount: Int { (0..<regionCount).reduce(0) { $0 + (isSet($1) ? 1 : 0) } }

    func isDurable(_ region: Int) -> Bool { regions[region].isDurable }
    func isClearing(_ region: Int) -> Bool { regions[region].isClearing }

    func isSet(_ region: Int) -> Bool {
        memory.load(fromByteOffset: MDBitmap.headerByteCount + region / 8, as: UInt8.self) & (1 << UInt8(region % 8))
            != 0
    }

    /// Sets or clears a region's bit in memory, for the next round to write.
    private mutating func change(_ region: Int, to value: Bool) {
        assert(isSet(region) != value, "the bit is so already")
        let offset = MDBitmap.headerByteCount + region / 8
        let byte = memory.load(fromByteOffset: offset, as: UInt8.self)
        let bit: UInt8 = 1 << UInt8(region % 8)
        memory.storeBytes(of: value ? byte | bit : byte & ~bit, toByteOffset: offset, as: UInt8.self)
        isPageChanged[Self.page(of: region)] = true
        hasChangedPages = true
    }

    private static func page(of region: Int) -> Int {
        (MDBitmap.headerByteCount + region / 8) / MDBitmap.pageByteCount
    }

    // MARK: Writes

    /// Notes that an operation is about to write, and sets its regions' bits.
    /// - Returns: whether the bits are durable already. Otherwise the operation waits (`append`).
    mutating func protect(_ operation: StripeOperation) -> Bool {
        let range = regions(of: operation)
        guard !touch(range) else { return true }
        for region in range {
            if !isSet(region) { change(region, to: true) }
            // An earlier round may have failed to write this one.
            if isPageChanged[Self.page(of: region)] { hasChangedPages = true }
        }
        return false
    }

    /// - Returns: whether the regions' bits are durable.
    private func touch(_ range: ClosedRange<Int>) -> Bool {
        var isDurable = true
        for region in range {
            regions[region].lastWrite = tick
            regions[region].isClearing = false
            if !regions[region].isDurable { isDurable = false }
        }
        return isDurable
    }

    /// Makes an operation wait for the next round.
    mutating func append(_ index: OperationIndex, in operations: UnsafeMutablePointer<StripeOperation>) {
        assert(operations[index].outstanding == 0, "an operation waits for bits with I/O under way")
        operations[index].move(to: .protecting)
        waiting.append(index, in: operations)
    }

    /// Takes the operations that wait for a round.
    private mutating func takeWaiting() -> OperationList {
        assert(!isWriting, "a round is under way")
        defer { waiting = OperationList() }
        return waiting
    }

    // MARK: Rounds

    /// Operations that waited for bits, and how they go on: they write when the bits are durable (`.done`), or else
    /// end.
    struct Waited {
        var operations = OperationList()
        var status = ArrayStatus.done
    }

    /// Whether a round is under way.
    var isWriting: Bool { roundOutstanding > 0 }

    /// Makes the next round write all pages: a member has come whose bits are all set.
    mutating func changeAllPages() {
        for page in 0..<pageCount { isPageChanged[page] = true }
        hasChangedPages = true
    }

    /// Whether `advance` has something to do: bits to write or operations that wait, and no round is under way.
    var canAdvance: Bool { !isWriting && (hasChangedPages || !waiting.isEmpty) }

    /// Begins a round if there is something to write.
    /// - Returns: operations that need not wait for it.
    mutating func advance(
        _ members: PlannedMembers, _ operations: UnsafeMutablePointer<StripeOperation>,
        into output: inout PlannerOutput
    ) -> Waited {
        assert(canAdvance, "a round is under way, or there is nothing to write")
        // The last round may have made the bits durable already, for other operations.
        guard hasChangedPages else { return noteDurable(takeWaiting(), in: operations) }
        guard members.state != .failed else { return Waited(operations: takeWaiting(), status: .failed) }
        beginRound(absent: members.absent, token: members.token(.bitmapWrite), into: &output)
        return Waited()
    }

    /// All changed pages go to all members that are there, for the operations that wait.
    private mutating func beginRound(absent: Role?, token: PlannerToken, into output: inout PlannerOutput) {
        precondition(!isWriting && round.isEmpty, "a round is under way")
        round = takeWaiting()
        roundStatus = .done
        hasChangedPages = false
        for page in 0..<pageCount {
            isPageInRound[page] = isPageChanged[page]
            isPageChanged[page] = false
            guard isPageInRound[page] else { continue }
            // The first page begins with the header, which is written together with superblocks and not from here.
            let first = page * MDBitmap.pageByteCount
            let skipped = page == 0 ? MDBitmap.headerByteCount : 0
            for member in geometry.roles where member != absent {
                output.memberIOs.append(
                    MemberIO(
                        kind: .durableWrite, place: Place(member),
                        byteOffset: byteOffsets[member] + UInt64(first + skipped),
                        byteCount: MDBitmap.pageByteCount - skipped, memory: memory + first + skipped, token: token))
                roundOutstanding += 1
            }
        }
    }

    /// Takes the outcome of a write of the round. The other members make up for a failed one.
    /// - Returns: at the end of the round its operations.
    mutating func endWrite(_ status: MemberStatus, _ operations: UnsafeMutablePointer<StripeOperation>) -> Waited {
        precondition(isWriting, "no round is under way")
        roundOutstanding -= 1
        switch status {
        case .noSpace: roundStatus = roundStatus.combined(with: .noSpace)
        case .refused: roundStatus = roundStatus.combined(with: .refused)
        case .done, .unreadable, .failed: break
        }
        guard roundOutstanding == 0 else { return Waited() }
        defer { round = OperationList() }
        if roundStatus == .done { return noteDurable(round, in: operations) }
        failRound()
        return Waited(operations: round, status: roundStatus)
    }

    /// Marks the pages of a round that could not be written as changed again. They are written again for operations
    /// that need one of them, or at a tick. Trying at once would not end.
    private mutating func failRound() {
        for page in 0..<pageCount where isPageInRound[page] { isPageChanged[page] = true }
        if !waiting.isEmpty { hasChangedPages = true }
    }

    /// Notes that the bits of operations are durable.
    private func noteDurable(
        _ waited: OperationList, in operations: UnsafeMutablePointer<StripeOperation>
    ) -> Waited {
        var index = waited.first
        while let waiting = index {
            assert(operations[waiting].phase == .protecting, "an operation that waits for no bits is in the round")
            for region in regions(of: operations[waiting]) {
                assert(isSet(region), "a bit is durable that is not set")
                regions[region].isDurable = true
            }
            index = waited.next(of: waiting, in: operations)
        }
        return Waited(operations: waited)
    }

    // MARK: Clearing

    /// Notes that a period has passed. What could not be written is tried again.
    mutating func beginPeriod() {
        tick += 1
        for page in 0..<pageCount where isPageChanged[page] { hasChangedPages = true }
    }

    /// Whether flushes before clearing are under way.
    var isFlushing: Bool { clearingOutstanding > 0 }

    /// Flushes all members if there are regions whose bits may be cleared after that, unless such flushes are under
    /// way. All members are there.
    /// - Parameters:
    ///   - includesLatest: also regions that were written to in this period or the last one.
    ///   - operations: all; the regions of those that are in use are left out.
    mutating func beginClearing(
        includesLatest: Bool, _ operations: UnsafeBufferPointer<StripeOperation>, _ members: inout PlannedMembers,
        into output: inout PlannerOutput
    ) {
        guard !isFlushing, findCleared(includesLatest: includesLatest, operations) else { return }
        emitFlushes(&members, into: &output)
    }

    /// - Returns: whether there are regions whose bits may be cleared after a flush.
    private mutating func findCleared(
        includesLatest: Bool, _ operations: UnsafeBufferPointer<StripeOperation>
    ) -> Bool {
        isReadyToClear = false
        let first = includesLatest ? tick + 1 : tick - 1
        var isNeeded = false
        for region in 0..<regionCount {
            let isOld = regions[region].isDurable && regions[region].lastWrite < first
            regions[region].isClearing = isOld
            if isOld { isNeeded = true }
        }
        guard isNeeded else { return false }
        for operation in operations where operation.phase != .free && operation.kind != .read {
            for region in regions(of: operation) { regions[region].isClearing = false }
        }
        return true
    }

    /// Emits the flushes of all members before clearing.
    private mutating func emitFlushes(_ members: inout PlannedMembers, into output: inout PlannerOutput) {
        assert(members.absent == nil, "bits say what a member misses that is not there")
        for role in geometry.roles {
            let flush = MemberIO.flush(Place(role), token: members.token(.bitmapFlush))
            output.memberIOs.append(flush)
            clearingOutstanding += 1
            guard members.replacement?.member == role else { continue }
            members.emitToReplacement(flush, into: &output)
            clearingOutstanding += 1
        }
    }

    /// Takes the outcome of a flush before clearing. A failed one leaves all bits as they are, until the next tick.
    mutating func endFlush(_ status: MemberStatus) {
        precondition(isFlushing, "no flush is under way")
        if status != .done {
            for region in 0..<regionCount { regions[region].isClearing = false }
        }
        clearingOutstanding -= 1
        isReadyToClear = clearingOutstanding == 0
    }

    /// Whether there are bits to clear: the flushes before it have ended.
    var hasBitsToClear: Bool { isReadyToClear && (0..<regionCount).contains { regions[$0].isClearing } }

    /// Clears the bits of regions without a write since `beginClearing`.
    mutating func clearBits() {
        assert(isReadyToClear && !isFlushing, "bits are cleared before the flush")
        isReadyToClear = false
        for region in 0..<regionCount where regions[region].isClearing {
            assert(regions[region].isDurable, "a bit is cleared that is not durable")
            regions[region].isClearing = false
            regions[region].isDurable = false
            change(region, to: false)
        }
    }
}
