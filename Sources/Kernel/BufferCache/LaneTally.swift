import BlockStorage
import Platform
import Statistics

/// Counts the requests to a lane of a buffered device. Used by the lane's thread alone.
struct LaneTally {
    private let counters: ExportCounters
    private let lane: Int
    /// By tag, nanoseconds.
    private var starts: [UInt64]

    /// - Parameters:
    ///   - counters: the device's.
    ///   - lane: the lane's number.
    ///   - capacity: all tags are below it.
    init(counters: ExportCounters, lane: Int, capacity: Int) {
        self.counters = counters
        self.lane = lane
        starts = Array(repeating: 0, count: capacity)
    }

    mutating func submitted(_ tags: UnsafeBufferPointer<UInt16>) {
        counters.submit(tags.count, lane: lane)
        let now = monotonicNanoseconds()
        for tag in tags { starts[Int(tag)] = now }
    }

    /// - Parameter requests: by tag. They stay what they were when they were submitted, until their owner hears of
    ///   their end.
    func completed(_ batch: [BlockCompletion], of requests: UnsafePointer<BlockRequest>) {
        counters.end(batch.count, lane: lane)
        let now = monotonicNanoseconds()
        for completion in batch {
            counters.complete(
                kind: requests[Int(completion.tag)].operation.counted, byteCount: completion.byteCount,
                failed: completion.error != .none, nanoseconds: now &- starts[Int(completion.tag)], lane: lane)
        }
    }
}
