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

    /// What the outcomes of a step's I/Os call for; the worst counts.
    enum Verdict: UInt8, BitwiseCopyable {
        /// The next step.
        case goOn
        /// A read met a block that its member cannot read: it is healed first.
        case heal
        /// Mending failed: the columns cannot be read, or their parity cannot be written.
        case giveUp
        /// The operation is planned again: a read failed, or members changed.
        case replan
    }

    /// What an operation knows of the blocks that it heals.
    struct Healing: BitwiseCopyable {
        /// How many times the operation has gone through its blocks.
        var rounds: UInt8 = 0
        /// A block could not be healed in the last round.
        var isIncomplete = false
        /// The first chunk offset of the block that is being healed.
        var chunkOffset: UInt32 = 0
        /// One bit a member: it cannot read that block.
        var badMembers: UInt64 = 0
    }

    var kind = Kind.read
    private(set) var phase = Phase.free
    /// What the outcomes of the step's I/Os call for so far.
    private(set) var verdict = Verdict.goOn
    /// The worst that has happened so far.
    var status = ArrayStatus.done
    /// Member I/Os, jobs and tests that have not come back.
    var outstanding: UInt32 = 0
    /// The planner's generation when the last I/Os were emitted.
    var generation: UInt32 = 0

    var column0: UInt8 = 0
    var column1: UInt8 = 0
    /// The first chunk offset.
    var chunkOffset: UInt32 = 0
    /// The end of the chunk offsets: the first one that is not covered.
    var chunkOffsetEnd: UInt32 = 0
    /// The first stripe.
    var stripe: UInt64 = 0
    /// How many stripes; more than 1 only with all chunk offsets.
    var stripeCount: UInt64 = 1
    /// The tag of the operation's request.
    var request: UInt32 = 0
    /// The client's memory for the first byte of column0; that of column k is k - column0 chunks further.
    var memory: UnsafeMutableRawPointer?
    /// Whether zeroed space may be given back.
    var mayPunch = false

    /// The columns that are written now, usually all. A logged write that touches the missing column has up to three
    /// passes: the columns before it, it, and those behind it. Each is read, logged and written by itself, since the
    /// log covers columns that are present, and parity that stands for the missing column changes for its sake alone.
    var pass0: UInt8 = 0
    var pass1: UInt8 = 0
    /// The role that was missing when the pass was planned, or nil.
    var plannedMissing: Role?
    /// Whether a write reads old parity and old data, rather than the other columns.
    var readsOldData = false
    /// One of the writes under way goes to a replacement.
    var writesToReplacement = false
    /// Where the pass's partial parity begins in the log unit, bytes; nil while no unit has a record of the pass.
    var recordOffset: UInt32?
    /// The data to be copied to a replacement cannot be read: it is computed from the other members.
    var isUnreadable = false
    /// Maintenance: the answer to its test.
    var wrongBlocks: UInt32 = 0

    /// The operation's place in the stripe index.
    var lock = StripeLock()
    var healing = Healing()
    /// The index of the operation's blocks in the scratch pool, if it has any.
    var scratch = ScratchIndex.none
    /// The next operation of the list that this one is in, if there is one (`OperationList`).
    var link = OperationIndex.none

    /// Goes on to a phase that may follow. Inlined, with the table: the compiler knows the phase and leaves a test
    /// of bits.
    @inline(__always)
    mutating func move(to next: Phase) {
        precondition(phase.mayPrecede(next, for: kind), "an operation took a way that there is not")
        phase = next
    }

    /// Notes what the outcome of an I/O calls for.
    mutating func note(_ outcome: Verdict) {
        if outcome.rawValue > verdict.rawValue { verdict = outcome }
    }

    /// Forgets what outcomes called for, since it begins now or is done.
    mutating func clearVerdict() { verdict = .goOn }

    /// Puts an operation into its reading phase, of the pass that begins at `pass0`; its reads are emitted next.
    /// - Parameters:
    ///   - generation: the planner's, now.
    ///   - missing: the role that the operation has to do without, or nil.
    ///   - isLogged: writes are recorded in a log.
    mutating func beginReading(generation: UInt32, missing: Role?, _ geometry: ArrayGeometry, isLogged: Bool) {
        precondition(verdict == .goOn && outstanding == 0, "a step is under way")
        move(to: .reading)
        self.generation = generation
        plannedMissing = missing
        pass1 = isLogged ? lastColumnOfLoggedPass(geometry) : column1
    }

    private func lastColumnOfLoggedPass(_ geometry: ArrayGeometry) -> UInt8 {
        guard kind != .read, let plannedMissing, plannedMissing != geometry.parityMember(stripe: stripe)
        else { return column1 }
        let missingColumn = UInt8(geometry.column(stripe: stripe, member: plannedMissing))
        if pass0 == missingColumn { return missingColumn }
        return pass0 < missingColumn && missingColumn <= column1 ? missingColumn - 1 : column1
    }

    /// Puts an operation into its writing phase; its writes are emitted next.
    /// - Parameter generation: the planner's, now.
    mutating func beginWriting(generation: UInt32) {
        move(to: .writing)
        self.generation = generation
        writesToReplacement = false
    }

    /// Whether nothing that overlaps the operation is under way: it has its stripe range to itself.
    var hasStripeRange: Bool { lock.isIndexed && lock.blockers == 0 }

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
        guard lock.coversBlocks else { return chunkOffset..<chunkOffsetEnd }
        let block = UInt32(BlockHealing.blockByteCountMax)
        return chunkOffset / block * block..<(chunkOffsetEnd + block - 1) / block * block
    }

    /// Whether the chunk offsets are those of whole healing blocks.
    func coversBlocks(_ geometry: ArrayGeometry) -> Bool {
        let block = UInt32(BlockHealing.blockByteCountMax)
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
