import MemberIO
import RAID

/// The token of a member I/O while the engine has it under way.
///
/// | bits | field |
/// |---|---|
/// | 0 ..< 48 | the planner's token or, of a direct read, the tag of its request |
/// | 55 | whether the I/O belongs to a direct read |
/// | 56 ..< 64 | the array's index |
struct EngineToken: RawRepresentable, BitwiseCopyable, Equatable, Sendable {
    private static let directBit: UInt64 = 1 << 55
    private static let arrayShift: UInt64 = 56

    let rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The token of an I/O of a direct read.
    static func direct(array: Int, tag: UInt32) -> Self {
        precondition(array >= 0 && array < 1 << 8, "arrays have 8 bits")
        let token = Self(rawValue: UInt64(array) << arrayShift | directBit | UInt64(tag))
        assert(token.isDirect && token.array == array && token.tag == tag, "the token does not say what it was made of")
        return token
    }

    /// The token of an I/O that the array's planner wants.
    static func planned(array: Int, _ token: PlannerToken) -> Self {
        precondition(array >= 0 && array < 1 << 8, "arrays have 8 bits")
        precondition(token.rawValue >> PlannerToken.bitCount == 0, "the planner's token has bits of the engine's")
        let own = Self(rawValue: UInt64(array) << arrayShift | token.rawValue)
        assert(
            !own.isDirect && own.array == array && own.planned == token, "the token does not say what it was made of")
        return own
    }

    /// The array's index.
    var array: Int { Int(rawValue >> Self.arrayShift) }

    /// Whether the I/O belongs to a direct read, and is not the planner's.
    var isDirect: Bool { rawValue & Self.directBit != 0 }

    /// The tag of the direct read that the I/O belongs to.
    var tag: UInt32 {
        precondition(isDirect, "the I/O is the planner's")
        return UInt32(truncatingIfNeeded: rawValue)
    }

    /// What the planner's I/O has for a token there.
    var planned: PlannerToken {
        precondition(!isDirect, "the I/O belongs to a direct read")
        return PlannerToken(rawValue: rawValue & (1 << PlannerToken.bitCount - 1))
    }
}

extension MemberCompletion {
    /// The token that the engine had given to the I/O.
    var engineToken: EngineToken { EngineToken(rawValue: token) }
}
