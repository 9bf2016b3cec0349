import MDFormat
import MemberIO

/// Says what a member I/O of the planner belongs to. It goes out with the I/O, as a number, and comes back with the
/// outcome.
///
/// | bits | field |
/// |---|---|
/// | 0 ..< 32 | an operation's index, a request's tag, or a log's or flushed member's place, as the kind says |
/// | 32 ..< 40 | the role whose block is healed; with the kinds of the whole array, the low bits of the generation |
/// | 40 ..< 47 | the kind |
/// | 47 | whether the I/O goes to the replacement's place instead |
///
/// Whoever passes the I/O on may use the bits from `bitCount` on.
@usableFromInline package struct PlannerToken: RawRepresentable, BitwiseCopyable, Equatable, Sendable {
    /// What an I/O belongs to.
    package enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// An operation. Its parity jobs, write groups and tests have such tokens too.
        case operation
        /// The healing of an operation's block.
        case healing
        /// A whole request, which has no operations (RAID 0).
        case request
        /// A round of flushes that answers requests.
        case flushRound
        /// The write of a unit of a partial parity log.
        case logWrite
        /// The flush of a member on behalf of the logs.
        case logFlush
        /// The write of a page of the bitmap.
        case bitmapWrite
        /// A flush before bits of the bitmap are cleared.
        case bitmapFlush

        /// Whether it belongs to the array rather than to a request or an operation.
        var isOfArray: Bool { rawValue >= Kind.flushRound.rawValue }
    }

    /// Tokens are below 2 to this power.
    package static let bitCount: UInt64 = 48
    private static let detailShift: UInt64 = 32
    private static let kindShift: UInt64 = 40
    private static let replacementBit: UInt64 = 1 << 47

    /// The token as a number.
    @usableFromInline package let rawValue: UInt64

    /// Takes a token back from a number.
    @inlinable package init(rawValue: UInt64) { self.rawValue = rawValue }

    private init(_ kind: Kind, index: UInt32, detail: UInt8 = 0) {
        rawValue = UInt64(kind.rawValue) << Self.kindShift | UInt64(detail) << Self.detailShift | UInt64(index)
    }

    // MARK: Making

    static func operation(_ index: OperationIndex) -> Self {
        precondition(!index.isNone, "an operation has an index")
        return Self(.operation, index: UInt32(bitPattern: index.rawValue))
    }

    /// - Parameter role: that of the member whose block is read or written.
    static func healing(_ index: OperationIndex, role: Role) -> Self {
        precondition(!index.isNone, "an operation has an index")
        return Self(.healing, index: UInt32(bitPattern: index.rawValue), detail: role.rawValue)
    }

    static func request(tag: UInt32) -> Self { Self(.request, index: tag) }

    /// - Parameters:
    ///   - kind: one of the array's, but for those that name a member.
    ///   - generation: the planner's; its low bits are kept.
    static func array(_ kind: Kind, generation: UInt32) -> Self {
        precondition(kind.isOfArray && kind != .logWrite && kind != .logFlush, "the token has to say more")
        return Self(kind, index: 0, detail: UInt8(truncatingIfNeeded: generation))
    }

    /// - Parameters:
    ///   - role: that of the log's member.
    ///   - generation: the planner's; its low bits are kept.
    static func logWrite(of role: Role, generation: UInt32) -> Self {
        Self(.logWrite, index: UInt32(role.rawValue), detail: UInt8(truncatingIfNeeded: generation))
    }

    /// - Parameters:
    ///   - place: that of the member that is flushed.
    ///   - generation: the planner's; its low bits are kept.
    static func logFlush(of place: Place, generation: UInt32) -> Self {
        Self(.logFlush, index: UInt32(place.rawValue), detail: UInt8(truncatingIfNeeded: generation))
    }

    /// The token of the same I/O to the replacement's place.
    var toReplacement: Self { Self(rawValue: rawValue | Self.replacementBit) }

    // MARK: Reading

    /// What the I/O belongs to.
    @inline(__always)
    package var kind: Kind {
        guard let kind = Kind(rawValue: UInt8(truncatingIfNeeded: rawValue >> Self.kindShift) & 0x7F),
            rawValue >> Self.bitCount == 0
        else { preconditionFailure("the token \(rawValue) is not the planner's") }
        return kind
    }

    /// Whether the I/O goes to the replacement's place.
    var isToReplacement: Bool { rawValue & Self.replacementBit != 0 }

    private var index: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
    private var detail: UInt8 { UInt8(truncatingIfNeeded: rawValue >> Self.detailShift) }

    /// The index of the operation that is carried out or healed.
    @inline(__always)
    var operation: OperationIndex {
        precondition(kind == .operation || kind == .healing, "the token is not an operation's")
        return OperationIndex(rawValue: Int32(bitPattern: index))
    }

    /// The role of the member whose block is healed.
    var healedRole: Role {
        precondition(kind == .healing, "the token is not of healing")
        return Role(rawValue: detail)
    }

    /// The tag of the request.
    var tag: UInt32 {
        precondition(kind == .request, "the token is not a request's")
        return index
    }

    /// The role of the member whose log is written.
    var logRole: Role {
        precondition(kind == .logWrite, "the token is of no log's unit")
        return Role(rawValue: UInt8(index))
    }

    /// The place that is flushed for the logs.
    var flushedPlace: Place {
        precondition(kind == .logFlush, "the token is of no flush for the logs")
        return Place(rawValue: UInt8(index))
    }

    /// How many generations ago the I/O began; one that began more than 255 generations ago seems younger.
    func age(in generation: UInt32) -> UInt32 {
        precondition(kind.isOfArray, "the I/O belongs to a request or an operation")
        return (generation &- UInt32(detail)) & 0xFF
    }
}

extension MemberIO {
    init(
        kind: Kind, place: Place, byteOffset: UInt64, byteCount: Int, memory: UnsafeMutableRawPointer?,
        token: PlannerToken
    ) {
        self.init(
            kind: kind, place: place, byteOffset: byteOffset, byteCount: byteCount, memory: memory,
            token: token.rawValue)
    }

    /// The flush of the member at a place.
    static func flush(_ place: Place, token: PlannerToken) -> MemberIO {
        MemberIO(kind: .flush, place: place, byteOffset: 0, byteCount: 0, memory: nil, token: token)
    }

    /// What the planner gave the I/O for a token.
    package var plannerToken: PlannerToken { PlannerToken(rawValue: token) }
}
