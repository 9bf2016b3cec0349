extension StripeOperation {
    /// How far an operation is. `move(to:)` is the only way from one phase to the next; Docs/ARCHITECTURE.md has a
    /// picture of the ways.
    enum Phase: UInt8, BitwiseCopyable, CaseIterable {
        /// Not in use, or not begun.
        case free
        /// Waits for earlier operations that overlap it.
        case awaitingLock
        /// Has its stripe range to itself, and waits for scratch memory.
        case awaitingScratch
        /// Reads what the pass needs. That may be nothing.
        case reading
        /// Healing: reads a block from all members.
        case probing
        /// Healing: writes the block to the member that could not read it.
        case rewriting
        /// Healing: reads the block from that member again.
        case verifying
        /// A client's read: the missing column is computed from the others.
        case computing
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
        /// Work on a recovery that is over, and waits for what began before it.
        case retiring
        /// Over; what the operation holds is given up next.
        case ended

        /// Whether there is a way from this phase to another, for some kind.
        @inline(__always)
        private func leads(to next: Phase) -> Bool {
            switch (self, next) {
            case (.ended, _): next == .free
            case (.retiring, _): next == .ended
            // Any step may be the last one.
            case (_, .retiring), (_, .ended): true
            case (.free, .awaitingLock), (.free, .awaitingScratch), (.free, .reading): true
            case (.awaitingLock, .awaitingScratch), (.awaitingLock, .reading), (.awaitingLock, .probing): true
            case (.awaitingScratch, .reading), (.awaitingScratch, .probing): true
            // Reads that did not come as planned: once more, with a lock this time, or to heal.
            case (.reading, .reading), (.reading, .awaitingLock), (.reading, .awaitingScratch), (.reading, .probing):
                true
            case (.reading, .computing), (.reading, .testing), (.reading, .protecting), (.reading, .writing): true
            case (.probing, .rewriting), (.probing, .probing), (.probing, .reading): true
            case (.rewriting, .verifying), (.rewriting, .probing), (.rewriting, .reading): true
            case (.verifying, .probing), (.verifying, .reading): true
            // Members changed while the operation waited.
            case (.protecting, .reading): true
            case (.protecting, .writing), (.testing, .writing): true
            // The next pass.
            case (.writing, .reading): true
            case (.writing, .mending), (.mending, .mending): true
            case (.mending, .mendingParity), (.mendingParity, .mendingParity): true
            default: false
            }
        }

        /// Whether operations of a kind come to the phase.
        @inline(__always)
        func exists(for kind: Kind) -> Bool {
            switch self {
            case .free, .awaitingLock, .reading, .ended: true
            case .awaitingScratch, .probing, .rewriting, .verifying: !kind.isWithoutReads
            case .computing: kind == .read
            case .testing: kind.isMaintenance && kind != .skipIfClean
            case .protecting: kind == .write || kind == .writeZeroes || kind == .zeroStripes
            case .writing: !kind.isMaintenance && kind != .read || kind == .rebuild || kind == .repair
            case .mending, .mendingParity: kind == .write || kind == .writeZeroes
            case .retiring: kind.isRecovery
            }
        }

        /// Whether an operation of a kind may go from this phase to another. Work on a recovery ends in order, so it
        /// always retires first.
        @inline(__always)
        func mayPrecede(_ next: Phase, for kind: Kind) -> Bool {
            leads(to: next) && next.exists(for: kind) && (next != .ended || (self == .retiring) == kind.isRecovery)
        }
    }
}
