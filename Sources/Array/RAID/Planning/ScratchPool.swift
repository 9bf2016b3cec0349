/// Memory for what an operation reads and computes, in two sizes: one block for each member of 4 KiB (the usual small
/// write), or of 64 KiB. Addresses only; the planner never follows them.
struct ScratchPool {
    /// Rows of the small slots, bytes.
    static let smallRowByteCount = 4096
    /// Rows of the large slots, and the most rows that an operation covers: a block of each member of a small array
    /// stays in the second-level cache.
    static let largeRowByteCount = 64 << 10
    static let smallCount = 256
    static let largeCount = 64

    private let base: UnsafeMutableRawPointer
    private let memberCount: Int
    private let free: UnsafeMutablePointer<Int32>
    private var smallFree = smallCount
    private var largeFree = largeCount

    /// The bytes that a pool for so many members needs.
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

    /// A slot for operations of that many rows, or nil when none is free.
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

    /// A member's block in a slot.
    func block(_ slot: Int32, member: Int) -> UnsafeMutableRawPointer {
        if slot < Self.smallCount {
            return base + (Int(slot) * memberCount + member) * Self.smallRowByteCount
        }
        let large = base + Self.smallCount * memberCount * Self.smallRowByteCount
        return large + ((Int(slot) - Self.smallCount) * memberCount + member) * Self.largeRowByteCount
    }
}
