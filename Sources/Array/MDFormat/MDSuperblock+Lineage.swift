/// Which state of its array a superblock is of, so that a member can prove what it is.
///
/// Events only count: two members that went on apart come to the same number, and an older copy of a member may be as many
/// changes old as md allows a member to lag. So each change of state also draws a random *mark*. It lies where md looks only
/// during a reshape, and what md has written since tells itself by the microseconds of the update time: md writes 0 there,
/// and they are never 0 with a mark.
extension MDSuperblock {
    /// The marks of a superblock that was written here last.
    package struct Lineage: Sendable, Equatable {
        /// Drawn for this state of the array; never 0.
        package var mark: UInt64
        /// The mark of the state before, as long as some member may still have that; then the same as `mark`. 0 stands for a
        /// state that has none.
        package var previous: UInt64
        /// The mark that the member had which the array goes on without: with this one it differs from the others only where
        /// the bitmap says so. 0 for one that had none, and when no member is missing.
        package var departed: UInt64

        /// All members have this state.
        package var isSettled: Bool { previous == mark }
    }

    /// Behind new_level: reshape_position, delta_disks, new_layout, new_chunk and new_offset, which count only with
    /// MD_FEATURE_RESHAPE_ACTIVE and MD_FEATURE_NEW_OFFSET.
    private static let lineageOffset = 104
    private static let microsecondOffset = 197
    private static let microseconds: UInt64 = 999_999

    /// Nil for a superblock that Linux md, or a version of this program without marks, has written last.
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

    /// The mark, or 0 when there is none.
    package var mark: UInt64 { lineage?.mark ?? 0 }

    /// Begins a new state. It is settled when all members have it: `settle`.
    /// - Parameter isWhole: no member is missing.
    package mutating func draw(mark: UInt64, isWhole: Bool) {
        let before = lineage
        let departed = isWhole ? 0 : before?.departed ?? 0
        lineage = Lineage(mark: max(1, mark), previous: before?.mark ?? 0, departed: departed)
    }

    /// All members have the state.
    package mutating func settle() {
        let mark = mark
        lineage?.previous = mark
    }

    /// Whether another member's superblock is of the same state as this one, which is the newest, or of the one before while
    /// that may be. Superblocks without marks prove nothing: then md's rules are all there is.
    ///
    /// What md has written still has the bytes of the mark that it found. Its first update may have reached some members only.
    package func isSameState(as other: MDSuperblock) -> Bool {
        if other.mark == mark { return true }
        guard let lineage else { return load(Self.lineageOffset) == other.mark && other.events < events }
        return lineage.previous == other.mark
    }

    /// A number of microseconds that goes with a mark, and is not 0.
    private static func witness(_ mark: UInt64) -> UInt64 { 1 + mark % microseconds }

    /// The upper 24 bits of utime.
    private var microsecond: UInt64 {
        get { (0..<3).reduce(0) { $0 | UInt64(bytes[Self.microsecondOffset + $1]) << (8 * UInt64($1)) } }
        set { storeBytes(newValue, count: 3, Self.microsecondOffset) }
    }
}
