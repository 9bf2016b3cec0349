import BlockStorage
import Platform
import Statistics

/// Counts the requests to a lane of a buffered device. Used by the lane's thread alone.
struct LaneTally {
    private let counters: ExportCounters
    private let lane: Int
    /// By tag.
    private var requests: [(operation: BlockRequest.Operation, startNanoseconds: UInt64)]

    /// - Parameters:
    ///   - counters: the device's.
    ///   - lane: the lane's number.
    ///   - capacity: all tags are below it.
    init(counters: ExportCounters, lane: Int, capacity: Int) {
        self.counters = counters
        self.lane = lane
        requests = Array(repeating: (.flush, 0), count: capacity)
    }

    mutating func submitted(_ tags: UnsafeBufferPointer<UInt16>, _ batch: UnsafePointer<BlockRequest>) {
        counters.submit(tags.count, lane: lane)
        let now = monotonicNanoseconds()
        for tag in tags { requests[Int(tag)] = (batch[Int(tag)].operation, now) }
    }

    func completed(_ batch: [BlockCompletion]) {
        counters.end(batch.count, lane: lane)
        let now = monotonicNanoseconds()
        for completion in batch {
            let (operation, start) = requests[Int(completion.tag)]
            counters.complete(
                kind: operation.counted, byteCount: completion.byteCount, failed: completion.error != .none,
                nanoseconds: now &- start, lane: lane)
        }
    }
}
