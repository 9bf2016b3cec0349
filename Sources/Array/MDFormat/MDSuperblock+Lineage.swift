/// The state of its array that a superblock belongs to, so that a member can prove which state it has.
///
/// Events only count: two members that went on without each other reach the same number, and an older copy of a member
/// may be no more changes behind than md lets a member lag. So each change of state also draws a random *mark*. Marks
/// lie where md looks only during a reshape. The microseconds of the update time tell whether md has written the
/// superblock since: md writes 0 there, and with a mark they are never 0.
extension MDSuperblock {
    /// The marks of a superblock that this program wrote last.
    package struct Lineage: Sendable, Equatable {
        /// Drawn for this state of the array; never 0.
        package var mark: UInt64
        /// The mark of the state before, as long as some member may still have that state; later the same as `mark`. 0
        /// stands for a state without a mark.
        package var previous: UInt64
        /// The mark that the missing member had when the array went on without it. With this mark, the member differs
        /// from the others only where the bitmap says so. 0 if it had no mark, and when no member is missing.
        package var departed: UInt64

        /// Whether all members have this state.
        package var isSettled: Bool { previous == mark }
    }

    /// Behind new_level: reshape_position, delta_disks, new_layout, new_chunk and new_offset. md reads them only with
    /// MD_FEATURE_RESHAPE_ACTIVE and MD_FEATURE_NEW_OFFSET.
    private static let lineageOffset = 104
    /// The upper 24 bits of utime, which has 8 bytes at 192.
    private static let microsecondOffset = 197
    private static let microseconds: UInt64 = 999_999

    /// Nil if the superblock was last written by Linux md, or by a version of this program without marks.
    package var lineage: Lineage? {
        get {
            let lineage = Lineage(
                mark: load(Self.lineageOffset), previous: load(Self.lineageOffset + 8),
                departed: load(Self.lineageOffset + 16))
            let isOurs = features.isDisjoint(with: [.reshape, .newOffset]) && microsecond == Self.witness(lineage.mark)
            return lineage.mark != 0 && isOurs ? lineage : nil
        }
        set {
            store(newValue?.mark ?? 0, Self.lineageOffset)
            store(newValue?.previous ?? 0, Self.lineageOffset + 8)
            store(newValue?.departed ?? 0, Self.lineageOffset + 16)
            microsecond = newValue.map { Self.witness($0.mark) } ?? 0
        }
    }

    /// The state's mark, or 0 when there is none.
    package var mark: UInt64 { lineage?.mark ?? 0 }

    /// Begins a new state. `settle` ends the transition when all members have the state.
    /// - Parameters:
    ///   - mark: a random number.
    ///   - isWhole: whether no member is missing.
    package mutating func draw(mark: UInt64, isWhole: Bool) {
        let before = lineage
        let departed = isWhole ? 0 : before?.departed ?? 0
        lineage = Lineage(mark: max(1, mark), previous: before?.mark ?? 0, departed: departed)
    }

    /// Notes that all members have the state.
    package mutating func settle() {
        let mark = mark
        lineage?.previous = mark
    }

    /// Whether another member's superblock belongs to the same state as this one, which is the newest, or to the state
    /// before while members may have that. Superblocks without marks prove nothing: then only md's rules are left.
    ///
    /// A superblock that md has written still has the bytes of the mark that md found. md's first update may have
    /// reached some members only.
    package func isSameState(as other: MDSuperblock) -> Bool {
        if other.mark == mark { return true }
        guard let lineage else { return load(Self.lineageOffset) == other.mark && other.events < events }
        return lineage.previous == other.mark
    }

    /// The number of microseconds that goes with a mark; never 0.
    private static func witness(_ mark: UInt64) -> UInt64 { 1 + mark % microseconds }

    /// The upper 24 bits of utime.
    private var microsecond: UInt64 {
        get { (0..<3).reduce(0) { $0 | UInt64(bytes[Self.microsecondOffset + $1]) << (8 * UInt64($1)) } }
        set { storeBytes(newValue, count: 3, Self.microsecondOffset) }
    }
}
