/// The RAID levels that are served, by their numbers in md (md_p.h: `level`).
@usableFromInline package enum RAIDLevel: Int32, Sendable {
    /// Striping without redundancy.
    case raid0 = 0
    /// Striping with one rotating parity chunk a stripe, left-symmetric.
    case raid5 = 5

    /// How many members an array can do without.
    package var redundancy: Int { self == .raid5 ? 1 : 0 }
}

/// Where an array's bytes lie on its members.
///
/// A *stripe* is one chunk on every member. Its data chunks are its *columns*, numbered in array order. A *chunk
/// offset* is a byte position inside a chunk. RAID 5 has md's left-symmetric layout (raid5.h:
/// ALGORITHM_LEFT_SYMMETRIC): the parity of stripe s is on member n - 1 - s mod n, and column k is on the k-th member
/// after that, cyclically.
@usableFromInline package struct ArrayGeometry: Sendable, Equatable {
    /// Decides where parity is, if anywhere.
    @usableFromInline package let level: RAIDLevel
    /// Members of the complete array.
    @usableFromInline package let memberCount: Int
    /// Bytes of a chunk; a power of two.
    @usableFromInline package let chunkByteCount: UInt64
    /// Bytes of each member that hold data; a multiple of the chunk.
    package let memberDataByteCount: UInt64
    /// The byte in each member file at which data begins.
    @usableFromInline package let dataByteOffset: UInt64
    /// Data chunks in a stripe.
    @usableFromInline package let columnCount: Int
    @usableFromInline let chunkShift: UInt64

    package init(
        level: RAIDLevel, memberCount: Int, chunkByteCount: Int, memberDataByteCount: UInt64, dataByteOffset: UInt64
    ) {
        precondition(chunkByteCount > 0 && chunkByteCount.nonzeroBitCount == 1, "a chunk is a power of two")
        precondition(memberCount < 256, "roles have 8 bits")
        precondition(memberCount >= (level == .raid5 ? 3 : 2), "too few members for the level")
        self.level = level
        self.memberCount = memberCount
        self.chunkByteCount = UInt64(chunkByteCount)
        chunkShift = UInt64(chunkByteCount.trailingZeroBitCount)
        self.memberDataByteCount = memberDataByteCount & ~(UInt64(chunkByteCount) - 1)
        self.dataByteOffset = dataByteOffset
        columnCount = level == .raid5 ? memberCount - 1 : memberCount
    }

    /// The array's size, bytes.
    package var capacityByteCount: UInt64 { memberDataByteCount * UInt64(columnCount) }

    /// Data bytes in a stripe. An aligned write of that size reads nothing.
    package var stripeByteCount: UInt64 { chunkByteCount * UInt64(columnCount) }

    /// The roles of the complete array.
    @inlinable package var roles: Roles { Roles(count: memberCount) }

    /// The member that holds a stripe's parity; only for RAID 5.
    @inlinable package func parityMember(stripe: UInt64) -> Role {
        Role(rawValue: UInt8(truncatingIfNeeded: memberCount - 1 - Int(stripe % UInt64(memberCount))))
    }

    /// The member that holds a column of a stripe.
    @inlinable package func member(stripe: UInt64, column: Int) -> Role {
        switch level {
        case .raid0: return Role(rawValue: UInt8(truncatingIfNeeded: column))
        case .raid5:
            let member = parityMember(stripe: stripe).index + 1 + column
            return Role(rawValue: UInt8(truncatingIfNeeded: member >= memberCount ? member - memberCount : member))
        }
    }

    /// The column of a stripe that a member holds; only for RAID 5, and not for the member that holds the parity.
    @inlinable package func column(stripe: UInt64, member: Role) -> Int {
        (member.index - parityMember(stripe: stripe).index - 1 + memberCount) % memberCount
    }

    /// The bytes of the array that a range of a member's data area holds; nil where the member has parity.
    /// - Parameter range: inside one stripe.
    package func arrayRange(member: Role, _ range: Range<UInt64>) -> Range<UInt64>? {
        let stripe = range.lowerBound >> chunkShift
        guard level == .raid0 || member != parityMember(stripe: stripe) else { return nil }
        let column = level == .raid0 ? member.index : column(stripe: stripe, member: member)
        let start = stripe * stripeByteCount + UInt64(column) << chunkShift + chunkOffset(of: range.lowerBound)
        return start..<start + UInt64(range.count)
    }

    /// The byte in a member file of a chunk offset in a stripe.
    @inlinable package func memberByteOffset(stripe: UInt64, chunkOffset: UInt64) -> UInt64 {
        dataByteOffset + stripe << chunkShift + chunkOffset
    }

    /// The stripe, column and chunk offset of an array byte.
    @inlinable package func position(of byteOffset: UInt64) -> (stripe: UInt64, column: Int, chunkOffset: UInt64) {
        let (stripe, column) = (byteOffset >> chunkShift).quotientAndRemainder(dividingBy: UInt64(columnCount))
        return (stripe, Int(column), chunkOffset(of: byteOffset))
    }

    /// The chunk offset of a byte of the array or of a member's data area.
    @inlinable package func chunkOffset(of byteOffset: UInt64) -> UInt64 { byteOffset & (chunkByteCount - 1) }

    /// How many chunks it takes to hold that many bytes.
    @inlinable package func chunkCount(covering byteCount: UInt64) -> UInt64 {
        (byteCount + chunkByteCount - 1) >> chunkShift
    }

    /// Calls `body` for each part of an array range that is contiguous on a member, in array order.
    /// - Parameter body: gets the member's role, the byte offset in its file, the byte count, and the part's offset in
    ///   the range.
    @inlinable @inline(__always)
    package func forEachExtent(
        byteOffset: UInt64, byteCount: UInt64, _ body: (Role, UInt64, UInt64, UInt64) -> Void
    ) {
        var (stripe, column, chunkOffset) = position(of: byteOffset)
        var done: UInt64 = 0
        while done < byteCount {
            let length = min(chunkByteCount - chunkOffset, byteCount - done)
            body(
                member(stripe: stripe, column: column), memberByteOffset(stripe: stripe, chunkOffset: chunkOffset),
                length, done)
            done += length
            chunkOffset = 0
            column += 1
            if column == columnCount {
                column = 0
                stripe += 1
            }
        }
    }

    /// How many bytes of a RAID 0 member hold array bytes below `byteOffset`. They are the first bytes of its data
    /// area, so a range of the array is one range of each member.
    package func raid0MemberByteCount(member: Role, below byteOffset: UInt64) -> UInt64 {
        let (stripe, column, chunkOffset) = position(of: byteOffset)
        let partial = member.index < column ? chunkByteCount : member.index == column ? chunkOffset : 0
        return stripe << chunkShift + partial
    }
}
