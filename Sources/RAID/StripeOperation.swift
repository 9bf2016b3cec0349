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
        case check
        case repair

        /// Whether it fills the recovering member.
        var isRecovery: Bool { self == .rebuild || self == .skip }
        var isMaintenance: Bool { isRecovery || self == .check || self == .repair }
    }

    enum Phase: UInt8, BitwiseCopyable {
        /// Behind earlier operations on the same rows, or without scratch memory.
        case waiting
        case reading
        /// Maintenance whose decision depends on what was read.
        case testing
        case writing
    }

    var kind = Kind.read
    var phase = Phase.waiting
    var column0: UInt8 = 0
    var column1: UInt8 = 0
    /// Whether the operation is in the stripe index.
    var isIndexed = false
    /// A read of this operation failed: it is planned again, without the failed member.
    var mustRestart = false
    var mayPunch = false
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

    /// Neighbours in whatever list the operation is in (free, waiting for scratch).
    var link: Int32 = -1
    /// Neighbours in the stripe index.
    var previous: Int32 = -1
    var next: Int32 = -1

    var rowByteCount: Int { Int(row1 - row0) }
    var columnCount: Int { Int(column1) - Int(column0) + 1 }

    /// Whether two operations share a row of a stripe.
    func overlaps(_ other: StripeOperation) -> Bool {
        stripe < other.stripe + other.stripeCount && other.stripe < stripe + stripeCount && row0 < other.row1
            && other.row0 < row1
    }
}

/// A first-in first-out list of operations, linked through their `link` fields.
struct OperationList: BitwiseCopyable {
    private var head: Int32 = -1
    private var tail: Int32 = -1

    var isEmpty: Bool { head < 0 }

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
