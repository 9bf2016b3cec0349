/// The operations, and what they hold and wait for: a stripe range, then scratch memory. Operations that are let go on
/// are given to the planner in order, which takes their steps.
struct OperationSchedule {
    private(set) var pool: OperationPool
    let operations: UnsafeMutablePointer<StripeOperation>
    private(set) var stripeIndex: StripeIndex
    private(set) var scratch = ScratchPool()
    /// Operations that ended and still hold their stripe range, scratch memory and index.
    private(set) var ended = OperationList()

    /// - Parameter capacity: operations at a time.
    init(capacity: Int) {
        pool = OperationPool(capacity: capacity)
        operations = pool.operations
        stripeIndex = StripeIndex(operations: operations)
    }

    func deallocate() {
        pool.deallocate()
        stripeIndex.deallocate()
        scratch.deallocate()
    }

    /// How many operations can be added.
    var freeCount: Int { pool.freeCount }

    /// Gives an index to an operation that is to begin. At least one is free.
    mutating func add(_ operation: StripeOperation) -> OperationIndex { pool.add(operation) }

    /// Lets an operation wait for its stripe range, behind earlier operations that overlap it, and for scratch memory.
    /// - Returns: true when it has both already.
    mutating func admit(_ index: OperationIndex) -> Bool {
        if !operations[index].lock.isIndexed {
            stripeIndex.insert(index)
            guard operations[index].lock.blockers == 0 else {
                operations[index].move(to: .awaitingLock)
                return false
            }
        }
        return claimScratch(index)
    }

    /// Gives scratch memory to an operation that nothing blocks. Operations get that in order.
    /// - Returns: false when it waits.
    private mutating func claimScratch(_ index: OperationIndex) -> Bool {
        let operation = operations + index
        assert(operation.pointee.hasStripeRange, "blocks come after the lock")
        if operation.pointee.kind.isWithoutReads || !operation.pointee.scratch.isNone { return true }
        if scratch.claim(for: &operation.pointee) { return true }
        operation.pointee.move(to: .awaitingScratch)
        scratch.append(index, in: operations)
        return false
    }

    /// Unlocks an operation's stripe range, if it has one. The operation may go on, having changed nothing yet.
    /// - Returns: the operations that waited for nothing else. They start now.
    mutating func unlock(_ index: OperationIndex) -> OperationList {
        var ready = OperationList()
        guard operations[index].lock.isIndexed else { return ready }
        var unblocked = OperationList()
        stripeIndex.remove(index) { unblocked.append($0, in: operations) }
        while let next = unblocked.popFirst(in: operations) {
            if claimScratch(next) { ready.append(next, in: operations) }
        }
        return ready
    }

    // MARK: Ends

    /// Notes that an operation has ended.
    mutating func end(_ index: OperationIndex) {
        operations[index].move(to: .ended)
        ended.append(index, in: operations)
    }

    /// What is to be done for an operation.
    enum Due {
        /// It has ended: what it holds is given up.
        case release(OperationIndex)
        /// It has waited for scratch memory and got it: it starts.
        case start(OperationIndex)
    }

    /// Takes what is due next: the release of the operation that ended first, then the start of the one that has waited
    /// longest for blocks of which some are free.
    mutating func takeDue() -> Due? {
        if let index = ended.popFirst(in: operations) { return .release(index) }
        return scratch.serveFirst(in: operations).map { .start($0) }
    }

    /// Gives up an ended operation's scratch memory and stripe range. Its index follows (`release`).
    /// - Returns: the operations that waited for nothing else. They start now.
    mutating func giveUp(_ index: OperationIndex) -> OperationList {
        assert(operations[index].phase == .ended, "an operation is released before its end")
        if !operations[index].scratch.isNone { scratch.release(operations[index].scratch) }
        return unlock(index)
    }

    /// Takes back the index of an operation that has given up everything else.
    mutating func release(_ index: OperationIndex) { pool.release(index) }
}
