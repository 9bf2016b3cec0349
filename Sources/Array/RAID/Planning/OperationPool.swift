/// The operations, of which there is a fixed number, and which of them are free.
struct OperationPool: BitwiseCopyable {
    let operations: UnsafeMutablePointer<StripeOperation>
    let capacity: Int
    private var free = OperationList()
    private(set) var freeCount: Int

    init(capacity: Int) {
        self.capacity = capacity
        freeCount = capacity
        operations = .allocate(capacity: capacity)
        operations.initialize(repeating: StripeOperation(), count: capacity)
        for index in 0..<capacity { free.append(OperationIndex(rawValue: Int32(index)), in: operations) }
    }

    func deallocate() { operations.deallocate() }

    /// All operations, also the free ones.
    var all: UnsafeBufferPointer<StripeOperation> { UnsafeBufferPointer(start: operations, count: capacity) }

    /// Gives an index to an operation that is to begin. At least one is free.
    mutating func add(_ operation: StripeOperation) -> OperationIndex {
        assert(
            operation.scratch.isNone && !operation.lock.isIndexed, "an operation begins with something that it holds")
        assert(operation.outstanding == 0, "an operation begins with I/O under way")
        let index = free.popFirst(in: operations)!
        precondition(operations[index].phase == .free && operation.phase == .free, "the operation is in use")
        operations[index] = operation
        freeCount -= 1
        return index
    }

    /// Takes back the index of an operation that has given up everything else.
    mutating func release(_ index: OperationIndex) {
        assert(!operations[index].lock.isIndexed, "an operation keeps its stripe range")
        assert(operations[index].recordOffset == nil, "an operation keeps its record in a log")
        assert(operations[index].outstanding == 0, "an operation is released with I/O under way")
        operations[index].move(to: .free)
        free.append(index, in: operations)
        freeCount += 1
        assert(freeCount <= capacity, "an operation is released twice")
    }
}
