/// Memory for what operations read and compute. An operation gets a block for each member, of 4 KiB (for the usual
/// small write) or of 64 KiB. The pool computes addresses and never follows them.
struct ScratchPool {
    /// Bytes of a small block.
    static let smallRowByteCount = 4096
    /// Bytes of a large block, and the most of a chunk that an operation covers: a block for each member of a small
    /// array stays in the second-level cache.
    static let largeRowByteCount = 64 << 10
    static let smallCount = 256
    static let largeCount = 64

    private let base: UnsafeMutableRawPointer
    private let memberCount: Int
    private let free: UnsafeMutablePointer<Int32>
    private var smallFree = smallCount
    private var largeFree = largeCount

    /// The bytes that a pool for that many members needs.
    static func byteCount(memberCount: Int) -> Int {
        memberCount * (smallCount * smallRowByteCount + largeCount * largeRowByteCount)
    }

    init(base: UnsafeMutableRawPointer, memberCount: Int) {
        self.base = base
        self.memberCount = memberCount
        free = .allocate(capacity: Self.smallCount + Self.largeCount)
        for slot in 0..<Self.smallCount + Self.largeCount { free[slot] = Int32(slot) }
    }

    func deallocate() { free.deallocate() }

    var hasSmall: Bool { smallFree > 0 }
    var hasLarge: Bool { largeFree > 0 }

    /// Claims a block for each member.
    /// - Parameter rowByteCount: bytes that each block has to hold.
    /// - Returns: the index of the blocks, or nil when none of that size are free.
    mutating func claim(rowByteCount: Int) -> Int32? {
        precondition(rowByteCount <= Self.largeRowByteCount)
        if Self.isSmall(rowByteCount) {
            guard smallFree > 0 else { return nil }
            smallFree -= 1
            return free[smallFree]
        }
        guard largeFree > 0 else { return nil }
        largeFree -= 1
        return free[Self.smallCount + largeFree]
    }

    /// Gives blocks back.
    mutating func release(_ slot: Int32) {
        if slot < Self.smallCount {
            free[smallFree] = slot
            smallFree += 1
        } else {
            free[Self.smallCount + largeFree] = slot
            largeFree += 1
        }
    }

    static func isSmall(_ rowByteCount: Int) -> Bool { rowByteCount <= smallRowByteCount }

    /// A member's block, by the index from `claim`.
    func block(_ slot: Int32, member: Int) -> UnsafeMutableRawPointer {
        if slot < Self.smallCount {
            return base + (Int(slot) * memberCount + member) * Self.smallRowByteCount
        }
        let large = base + Self.smallCount * memberCount * Self.smallRowByteCount
        return large + ((Int(slot) - Self.smallCount) * memberCount + member) * Self.largeRowByteCount
    }
}
