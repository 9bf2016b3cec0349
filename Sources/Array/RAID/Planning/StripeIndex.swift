/// An operation's place in the stripe index.
struct StripeLock: BitwiseCopyable {
    /// Whether the operation is in the index. A client's read of a present column is not.
    fileprivate(set) var isIndexed = false
    /// The operation heals, so it locks all chunk offsets of its blocks.
    var coversBlocks = false
    /// How many earlier operations in the index overlap this one. It has its stripe range to itself when there are
    /// none.
    fileprivate(set) var blockers: UInt32 = 0
    /// Order of arrival.
    fileprivate(set) var sequence: UInt64 = 0
    /// Neighbours in the index.
    fileprivate var previous = OperationIndex.none
    fileprivate var next = OperationIndex.none
}

/// Keeps overlapping operations apart: each waits for every earlier one that locks a chunk offset of the same stripe.
///
/// Operations on one stripe are found by hash. The few that cover runs of stripes are in a list of their own, which
/// every operation is compared with.
struct StripeIndex {
    private static let bucketCount = 1024
    private let operations: UnsafeMutablePointer<StripeOperation>
    private let heads: UnsafeMutablePointer<OperationIndex>
    private let tails: UnsafeMutablePointer<OperationIndex>
    /// The bucket of operations on runs of stripes.
    private static let runBucket = bucketCount
    private var nextSequence: UInt64 = 0

    init(operations: UnsafeMutablePointer<StripeOperation>) {
        self.operations = operations
        heads = .allocate(capacity: Self.bucketCount + 1)
        tails = .allocate(capacity: Self.bucketCount + 1)
        heads.initialize(repeating: .none, count: Self.bucketCount + 1)
        tails.initialize(repeating: .none, count: Self.bucketCount + 1)
    }

    func deallocate() {
        heads.deallocate()
        tails.deallocate()
    }

    /// Adds an operation behind all others and counts the earlier ones that it overlaps.
    mutating func insert(_ index: OperationIndex) {
        let operation = operations + index
        precondition(!operation.pointee.lock.isIndexed, "an operation is in the index once")
        assert(operation.pointee.outstanding == 0, "an operation waits for a lock with I/O under way")
        operation.pointee.lock.sequence = nextSequence
        nextSequence += 1
        operation.pointee.lock.blockers = 0
        operation.pointee.lock.isIndexed = true
        forEachOverlapping(index) { _ in operation.pointee.lock.blockers += 1 }
        let bucket = Self.bucket(of: operation.pointee)
        operation.pointee.lock.previous = tails[bucket]
        operation.pointee.lock.next = .none
        if tails[bucket].isNone { heads[bucket] = index } else { operations[tails[bucket]].lock.next = index }
        tails[bucket] = index
    }

    /// Removes an operation and calls `ready` for each later one that waited for nothing else.
    func remove(_ index: OperationIndex, ready: (OperationIndex) -> Void) {
        let operation = operations + index
        precondition(operation.pointee.lock.isIndexed && operation.pointee.lock.blockers == 0, "it has no lock")
        let bucket = Self.bucket(of: operation.pointee)
        let (previous, next) = (operation.pointee.lock.previous, operation.pointee.lock.next)
        if previous.isNone { heads[bucket] = next } else { operations[previous].lock.next = next }
        if next.isNone { tails[bucket] = previous } else { operations[next].lock.previous = previous }
        assert(heads[bucket].isNone == tails[bucket].isNone, "a list of the index has one end")
        operation.pointee.lock.isIndexed = false
        let sequence = operation.pointee.lock.sequence
        forEachOverlapping(index) { other in
            guard operations[other].lock.sequence > sequence else { return }
            assert(operations[other].lock.blockers > 0, "an operation runs that an earlier one blocks")
            operations[other].lock.blockers -= 1
            if operations[other].lock.blockers == 0 { ready(other) }
        }
    }

    /// How many operations are in the index.
    var count: Int {
        (0...Self.runBucket).reduce(0) { count, bucket in
            var (count, index) = (count, heads[bucket])
            while !index.isNone {
                count += 1
                index = operations[index].lock.next
            }
            return count
        }
    }

    private static func bucket(of operation: StripeOperation) -> Int {
        operation.stripeCount == 1 ? Int(truncatingIfNeeded: operation.stripe) & (bucketCount - 1) : runBucket
    }

    /// Calls `body` for each indexed operation, other than `index`, that overlaps it.
    private func forEachOverlapping(_ index: OperationIndex, _ body: (OperationIndex) -> Void) {
        let bucket = Self.bucket(of: operations[index])
        if bucket == Self.runBucket {
            for bucket in 0...Self.runBucket { scan(bucket, index, body) }
        } else {
            scan(bucket, index, body)
            scan(Self.runBucket, index, body)
        }
    }

    private func scan(_ bucket: Int, _ index: OperationIndex, _ body: (OperationIndex) -> Void) {
        var other = heads[bucket]
        while !other.isNone {
            let next = operations[other].lock.next
            if other != index && operations[other].overlaps(operations[index]) { body(other) }
            other = next
        }
    }
}
