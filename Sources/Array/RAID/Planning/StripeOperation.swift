import MDFormat

/// A part of a RAID 5 request that is carried out as a whole: a range of chunk offsets in adjacent columns of one
/// stripe, or a run of whole stripes. Maintenance consists of operations too.
///
/// The chunk offsets and stripes are the operation's *stripe range*, which it locks in all columns and the parity.
struct StripeOperation: BitwiseCopyable {
    /// What an operation does.
    enum Kind: UInt8, BitwiseCopyable {
        /// Reads one column: from its member or, if that is missing, from all the others.
        case read
        /// Writes adjacent columns and their parity.
        case write
        /// A write whose data is zeros, so that its data chunks can be punched.
        case writeZeroes
        /// Zeros whole stripes, `stripe ..< stripe + stripeCount`, parity included: zeros are their own parity.
        case zeroStripes
        /// Maintenance: as in `MaintenanceRequest.Kind`.
        case rebuild
        case skipIfHole
        case skipIfClean
        case check
        case repair

        /// Whether it brings the recovering member up to date.
        var isRecovery: Bool { self == .rebuild || self == .skipIfHole || self == .skipIfClean }
        /// Whether it reads nothing, and so needs no scratch memory.
        var isWithoutReads: Bool { self == .zeroStripes || self == .skipIfHole || self == .skipIfClean }
        var isMaintenance: Bool { isRecovery || self == .check || self == .repair }
    }

    /// How far an operation is.
    enum Phase: UInt8, BitwiseCopyable {
        /// Not in use.
        case free
        /// Waits for earlier operations that overlap it, or for scratch memory.
        case waiting
        /// Reads what the pass needs.
        case reading
        /// Healing: reads a block from all members.
        case probing
        /// Healing: writes the block to the member that could not read it.
        case rewriting
        /// Healing: reads the block from that member again.
        case verifying
        /// Maintenance: waits for the answer to its test.
        case testing
        /// Waits for a record in the partial parity log, or for bits of the bitmap.
        case protecting
        /// Writes the pass's columns and parity.
        case writing
        /// After writes that had no space: reads what the columns hold now.
        case mending
        /// After writes that had no space: writes the parity of what the columns hold.
        case mendingParity
    }

    var kind = Kind.read
    var phase = Phase.waiting
    var column0: UInt8 = 0
    var column1: UInt8 = 0
    /// The columns that are written now, usually all. A logged write that touches the missing column has up to three
    /// passes: the columns before it, it, and those behind it. Each is read, logged and written by itself, since the
    /// log covers columns that are present, and parity that stands for the missing column changes for its sake alone.
    var pass0: UInt8 = 0
    var pass1: UInt8 = 0
    /// The member that was missing when the pass was planned, or -1.
    var plannedMissing: Int8 = -1
    /// Whether the log unit has a record of the pass.
    var isRecorded = false
    /// Where the pass's partial parity begins in the log unit, bytes.
    var recordOffset: UInt32 = 0
    /// Whether the operation is in the stripe index.
    var isIndexed = false
    /// The operation is planned again when its I/Os have come back: a read failed, or members changed.
    var mustRestart = false
    /// A read met a block that its member cannot read.
    var hasBadBlock = false
    /// A block could not be healed in the last round of healing.
    var isBeyondHealing = false
    /// Mending failed: the columns' contents cannot be read, or their parity cannot be written.
    var isBeyondMending = false
    /// The operation heals, so it locks all chunk offsets of its blocks.
    var locksBlocks = false
    /// How many times the operation has gone through its blocks.
    var healingRounds: UInt8 = 0
    /// The first chunk offset of the block that is being healed.
    var healingOffset: UInt32 = 0
    /// One bit a member: it cannot read that block.
    var badMembers: UInt64 = 0
    /// Whether zeroed space may be given back.
    var mayPunch = false
    /// One of the writes under way goes to a replacement.
    var writesToReplacement = false
    /// The data to be copied to a replacement cannot be read: it is computed from the other members.
    var isUnreadable = false
    /// Work on a recovery that ended, and waits for what began before it.
    var hasEnded = false
    /// Whether a write reads old parity and old data, rather than the other columns.
    var readsOldData = false
    /// The worst that has happened so far.
    var status = ArrayStatus.done
    /// The tag of the operation's request.
    var request: UInt32 = 0
    /// Member I/Os that have not come back.
    var outstanding: UInt32 = 0
    /// Maintenance: the answer to its test.
    var wrongBlocks: UInt32 = 0
    /// The planner's generation when the last I/Os were emitted.
    var generation: UInt32 = 0
    /// How many earlier operations in the stripe index overlap this one.
    var blockers: UInt32 = 0
    /// The first chunk offset.
    var chunkOffset: UInt32 = 0
    /// The end of the chunk offsets: the first one that is not covered.
    var chunkOffsetEnd: UInt32 = 0
    /// The first stripe.
    var stripe: UInt64 = 0
    /// How many stripes; more than 1 only with all chunk offsets.
    var stripeCount: UInt64 = 1
    /// Order of arrival.
    var sequence: UInt64 = 0
    /// The client's memory for the first byte of column0; that of column k is k - column0 chunks further.
    var memory: UnsafeMutableRawPointer?
    /// The index of the operation's blocks in the scratch pool, or -1.
    var scratch: Int32 = -1

    /// The next operation of the list that this one is in, or -1 (`OperationList`).
    var link: Int32 = -1
    /// Neighbours in the stripe index.
    var previous: Int32 = -1
    var next: Int32 = -1

    /// Bytes of each column.
    var columnByteCount: Int { Int(chunkOffsetEnd - chunkOffset) }
    var passColumns: ClosedRange<Int> { Int(pass0)...Int(pass1) }

    /// The range of every member's data area that the operation covers, bytes.
    func memberRange(_ geometry: ArrayGeometry) -> Range<UInt64> {
        let start = stripe * geometry.chunkByteCount
        let last = start + (stripeCount - 1) * geometry.chunkByteCount
        return start + UInt64(chunkOffset)..<last + UInt64(chunkOffsetEnd)
    }

    /// The chunk offsets that no other operation may change meanwhile.
    var lockedOffsets: Range<UInt32> {
        guard locksBlocks else { return chunkOffset..<chunkOffsetEnd }
        let block = UInt32(RAIDPlanner.healingByteCountMax)
        return chunkOffset / block * block..<(chunkOffsetEnd + block - 1) / block * block
    }

    /// Whether the chunk offsets are those of whole healing blocks.
    func coversBlocks(_ geometry: ArrayGeometry) -> Bool {
        let block = UInt32(RAIDPlanner.healingByteCountMax)
        return chunkOffset % block == 0
            && (chunkOffsetEnd % block == 0 || UInt64(chunkOffsetEnd) == geometry.chunkByteCount)
    }

    /// Whether two operations lock a common chunk offset of a common stripe.
    func overlaps(_ other: StripeOperation) -> Bool {
        guard stripe < other.stripe + other.stripeCount && other.stripe < stripe + stripeCount else { return false }
        let (offsets, others) = (lockedOffsets, other.lockedOffsets)
        return offsets.lowerBound < others.upperBound && others.lowerBound < offsets.upperBound
    }
}

/// A first-in first-out list of operations, linked through their `link` fields.
struct OperationList: BitwiseCopyable {
    private var head: Int32 = -1
    private var tail: Int32 = -1

    var isEmpty: Bool { head < 0 }
    var first: Int32? { head < 0 ? nil : head }

    mutating func append(_ index: Int32, in operations: UnsafeMutablePointer<StripeOperation>) {
        operations[Int(index)].link = -1
        if tail >= 0 { operations[Int(tail)].link = index } else { head = index }
        tail = index
    }

    mutating func popFirst(in operations: UnsafeMutablePointer<StripeOperation>) -> Int32? {
        guard head >= 0 else { return nil }
        let index = head
        head = operations[Int(index)].link
        if head < 0 { tail = -1 }
        return index
    }
}
