/// Memory for what operations read and compute. An operation gets a block for each member, of 4 KiB (for the usual
/// small write) or of 64 KiB. The pool computes addresses and never follows them.
struct ScratchPool {
    /// Bytes of a small block.
    static let smallBlockByteCount = 4096
    /// Bytes of a large block, and the most of a chunk that an operation covers: a block for each member of a small
    /// array stays in the second-level cache.
    static let largeBlockByteCount = 64 << 10
    static let smallCount = 256
    static let largeCount = 64

    private let base: UnsafeMutableRawPointer
    private let memberCount: Int
    private let free: UnsafeMutablePointer<Int32>
    private var smallFree = smallCount
    private var largeFree = largeCount

    /// The bytes that a pool for that many members needs.
    static func byteCount(memberCount: Int) -> Int {
        memberCount * (smallCount * smallBlockByteCount + largeCount * largeBlockByteCount)
    }

    init(base: UnsafeMutableRawPointer, memberCount: Int) {
        self.base = base
        self.memberCount = memberCount
        free = .allocate(capacity: Self.smallCount + Self.largeCount)
        for index in 0..<Self.smallCount + Self.largeCount { free[index] = Int32(index) }
    }

    func deallocate() { free.deallocate() }

    var hasSmall: Bool { smallFree > 0 }
    var hasLarge: Bool { largeFree > 0 }

    /// Claims a block for each member.
    /// - Parameter blockByteCount: bytes that each block has to hold.
    /// - Returns: the index of the blocks, or nil when none of that size are free.
    mutating func claim(blockByteCount: Int) -> Int32? {
        precondition(blockByteCount <= Self.largeBlockByteCount)
        if Self.isSmall(blockByteCount) {
            guard smallFree > 0 else { return nil }
            smallFree -= 1
            return free[smallFree]
        }
        guard largeFree > 0 else { return nil }
        largeFree -= 1
        return free[Self.smallCount + largeFree]
    }

    /// Gives blocks back.
    mutating func release(_ index: Int32) {
        if index < Self.smallCount {
            free[smallFree] = index
            smallFree += 1
        } else {
            free[Self.smallCount + largeFree] = index
            largeFree += 1
        }
    }

    static func isSmall(_ blockByteCount: Int) -> Bool { blockByteCount <= smallBlockByteCount }

    /// A member's block, by the index from `claim`.
    func block(_ index: Int32, member: Int) -> UnsafeMutableRawPointer {
        if index < Self.smallCount {
            return base + (Int(index) * memberCount + member) * Self.smallBlockByteCount
        }
        let large = base + Self.smallCount * memberCount * Self.smallBlockByteCount
        return large + ((Int(index) - Self.smallCount) * memberCount + member) * Self.largeBlockByteCount
    }
}
