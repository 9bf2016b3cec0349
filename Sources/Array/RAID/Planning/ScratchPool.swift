/// Memory for what operations read and compute. An operation gets a block for each member, of 4 KiB (for the usual
/// small write) or of 64 KiB. Operations that find none of their size wait here, oldest first. `ScratchMemory` says
/// where a block lies.
struct ScratchPool {
    /// Bytes of a small block.
    static let smallBlockByteCount = 4096
    /// Bytes of a large block, and the most of a chunk that an operation covers: a block for each member of a small
    /// array stays in the second-level cache.
    static let largeBlockByteCount = 64 << 10
    static let smallCount = 256
    static let largeCount = 64

    private let free: UnsafeMutablePointer<ScratchIndex>
    private(set) var smallFree = smallCount
    private(set) var largeFree = largeCount
    private(set) var smallWaiters = OperationList()
    private(set) var largeWaiters = OperationList()

    /// The bytes that a pool for that many members needs.
    static func byteCount(memberCount: Int) -> Int {
        memberCount * (smallCount * smallBlockByteCount + largeCount * largeBlockByteCount)
    }

    init() {
        free = .allocate(capacity: Self.smallCount + Self.largeCount)
        for index in 0..<Self.smallCount + Self.largeCount { free[index] = ScratchIndex(rawValue: Int32(index)) }
    }

    func deallocate() { free.deallocate() }

    /// Gives an operation a block for each member, that holds its part of a column.
    /// - Returns: false when others wait for such blocks, or none are free.
    mutating func claim(for operation: inout StripeOperation) -> Bool {
        precondition(operation.scratch.isNone && operation.columnByteCount <= Self.largeBlockByteCount, "it has blocks")
        if Self.isSmall(operation) {
            guard smallWaiters.isEmpty, smallFree > 0 else { return false }
            operation.scratch = takeSmall()
        } else {
            guard largeWaiters.isEmpty, largeFree > 0 else { return false }
            operation.scratch = takeLarge()
        }
        return true
    }

    private mutating func takeSmall() -> ScratchIndex {
        smallFree -= 1
        assert(free[smallFree].rawValue < Self.smallCount, "large blocks are among the small ones")
        return free[smallFree]
    }

    private mutating func takeLarge() -> ScratchIndex {
        largeFree -= 1
        assert(free[Self.smallCount + largeFree].rawValue >= Self.smallCount, "small blocks are among the large ones")
        return free[Self.smallCount + largeFree]
    }

    /// Lets an operation wait for blocks.
    mutating func append(_ index: OperationIndex, in operations: UnsafeMutablePointer<StripeOperation>) {
        assert(operations[index].scratch.isNone, "an operation waits for blocks and has some")
        if Self.isSmall(operations[index]) {
            smallWaiters.append(index, in: operations)
        } else {
            largeWaiters.append(index, in: operations)
        }
    }

    /// Gives blocks to the operation that has waited longest for blocks of which some are free.
    /// - Returns: that operation, or nil.
    mutating func serveFirst(in operations: UnsafeMutablePointer<StripeOperation>) -> OperationIndex? {
        if smallFree > 0, let index = smallWaiters.popFirst(in: operations) {
            assert(operations[index].phase == .awaitingScratch, "an operation gets blocks that it does not wait for")
            operations[index].scratch = takeSmall()
            return index
        }
        if largeFree > 0, let index = largeWaiters.popFirst(in: operations) {
            assert(operations[index].phase == .awaitingScratch, "an operation gets blocks that it does not wait for")
            operations[index].scratch = takeLarge()
            return index
        }
        return nil
    }

    /// Gives blocks back.
    mutating func release(_ index: ScratchIndex) {
        precondition(
            !index.isNone && index.rawValue < Self.smallCount + Self.largeCount, "the blocks are not the pool's")
        if index.rawValue < Self.smallCount {
            assert(smallFree < Self.smallCount, "small blocks are given back twice")
            free[smallFree] = index
            smallFree += 1
        } else {
            assert(largeFree < Self.largeCount, "large blocks are given back twice")
            free[Self.smallCount + largeFree] = index
            largeFree += 1
        }
    }

    private static func isSmall(_ operation: StripeOperation) -> Bool {
        operation.columnByteCount <= smallBlockByteCount
    }
}
