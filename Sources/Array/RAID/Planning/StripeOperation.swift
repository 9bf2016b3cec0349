import MDFormat

/// A piece of a RAID 5 request that is carried out as a whole: a rectangle of rows and adjacent columns of one stripe,
/// or a run of whole stripes to be zeroed.
struct StripeOperation: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        /// One column, from its member or, if that is missing, from all the others.
        case read
        case write
        /// A write whose data is zeros, so that its data chunks can be punched.
        case writeZeroes
        /// Whole stripes, `stripe ..< stripe + stripeCount`, parity included: zeros are their own parity.
        case zeroStripes
        /// Maintenance, by `MaintenanceRequest.Kind`.
        case rebuild
        case skip
        case keep
        case check
        case repair

        /// Whether it brings the recovering member up to date.
        var isRecovery: Bool { self == .rebuild || self == .skip || self == .keep }
        /// Whether it reads nothing, and so needs no scratch memory.
        var isWithoutReads: Bool { self == .zeroStripes || self == .skip || self == .keep }
        var isMaintenance: Bool { isRecovery || self == .check || self == .repair }
    }

    enum Phase: UInt8, BitwiseCopyable {
        /// Not in use.
        case free
        /// Behind earlier operations on the same rows, or without scratch memory.
        case waiting
        case reading
        /// A block is read from all members, written where it could not be read, and read there again.
        case probing
        case rewriting
        case verifying
        /// Maintenance whose decision depends on what was read.
        case testing
        /// Behind a record in the partial parity log, or a bit of the bitmap.
        case protecting
        case writing
        /// What writes that had no space have left is read, and parity of it written.
        case mending
        case mendingParity
    }

    var kind = Kind.read
    var phase = Phase.waiting
    var column0: UInt8 = 0
    var column1: UInt8 = 0
    /// The columns that are written now. All at once, but for a logged write that touches the missing column: there
    /// those before it, it, and those behind it are read, logged and written one after the other. The log covers columns
    /// that are there, and parity that stands for the missing column is changed for its sake alone.
    var pass0: UInt8 = 0
    var pass1: UInt8 = 0
    /// The member that was missing when the pass was planned, or -1.
    var plannedMissing: Int8 = -1
    /// Whether the log's unit has a record of the pass, and where its partial parity is in the unit, bytes.
    var isRecorded = false
    var recordOffset: UInt32 = 0
    /// Whether the operation is in the stripe index.
    var isIndexed = false
    /// A read of this operation failed: it is planned again, without the failed member.
    var mustRestart = false
    /// A read of this operation found what its member cannot read.
    var hasBadBlock = false
    /// In the last round of healing, a block could not be healed.
    var isBeyondHealing = false
    /// What was written and what was not cannot be found out, or parity of it not be written.
    var isBeyondMending = false
    /// The operation holds all rows of its blocks, since it heals them.
    var locksBlocks = false
    var healingRounds: UInt8 = 0
    /// The first row of the block that is being healed, and a bit for each member that cannot read it.
    var healingRow: UInt32 = 0
    var badMembers: UInt64 = 0
    var mayPunch = false
    /// One of the I/Os under way is to a replacement.
    var isTwinned = false
    /// A unit that is to be copied and cannot be read: it is computed from the other members.
    var isUnreadable = false
    /// A rebuild or skip that waits for those before it.
    var hasEnded = false
    /// Whether old parity and old data are read, rather than the other columns.
    var readsOldData = false
    var status = ArrayStatus.done
    var request: UInt32 = 0
    /// Member I/Os that have not come back.
    var outstanding: UInt32 = 0
    /// Maintenance: the answer to its test.
    var wrongBlocks: UInt32 = 0
    /// The planner's, when its last I/Os were emitted.
    var generation: UInt32 = 0
    /// Earlier operations on the same rows.
    var blockers: UInt32 = 0
    var row0: UInt32 = 0
    var row1: UInt32 = 0
    var stripe: UInt64 = 0
    var stripeCount: UInt64 = 1
    /// Order of arrival.
    var sequence: UInt64 = 0
    /// The client's memory for row0 of column0; column k is k - column0 chunks further.
    var memory: UnsafeMutableRawPointer?
    /// A slot of the scratch pool, or -1.
    var scratch: Int32 = -1

    /// Neighbours in whatever list the operation is in (free, waiting for scratch, waiting for the log).
    var link: Int32 = -1
    /// Neighbours in the stripe index.
    var previous: Int32 = -1
    var next: Int32 = -1

    var rowByteCount: Int { Int(row1 - row0) }
    var passColumns: ClosedRange<Int> { Int(pass0)...Int(pass1) }

    /// Where the rows begin and end in a member's data area, bytes.
    func memberRange(_ geometry: ArrayGeometry) -> Range<UInt64> {
        let start = stripe * geometry.chunkByteCount
        let last = start + (stripeCount - 1) * geometry.chunkByteCount
        return start + UInt64(row0)..<last + UInt64(row1)
    }

    /// The rows that nobody else may change meanwhile.
    var lockedRows: Range<UInt32> {
        guard locksBlocks else { return row0..<row1 }
        let block = UInt32(RAIDPlanner.healingByteCountMax)
        return row0 / block * block..<(row1 + block - 1) / block * block
    }

    /// Whether the rows are whole blocks.
    func coversBlocks(_ geometry: ArrayGeometry) -> Bool {
        let block = UInt32(RAIDPlanner.healingByteCountMax)
        return row0 % block == 0 && (row1 % block == 0 || UInt64(row1) == geometry.chunkByteCount)
    }

    /// Whether two operations share a row of a stripe.
    func overlaps(_ other: StripeOperation) -> Bool {
        guard stripe < other.stripe + other.stripeCount && other.stripe < stripe + stripeCount else { return false }
        let (rows, others) = (lockedRows, other.lockedRows)
        return rows.lowerBound < others.upperBound && others.lowerBound < rows.upperBound
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
