import DriverHost
import Synchronization

/// How many calls carried how many tasks to the driver.
///
/// Threads: `note` inside the queue that sends, so on one thread at a time; the rest on any. With one writer an
/// addition needs no locked instruction.
package final class BundleCounts: Sendable {
    /// The numbers of tasks that are counted together.
    package static let labels = ["1", "2", "3-4", "5-8", "9-16", "17-32"]

    // SAFETY: the pointer never changes, and what it points to are atomics.
    private nonisolated(unsafe) let counts: UnsafeMutablePointer<Atomic<UInt64>>
    private let largest = Atomic<Int>(0)

    init() {
        counts = .allocate(capacity: Self.labels.count)
        for index in Self.labels.indices { (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        counts.deinitialize(count: Self.labels.count)
        counts.deallocate()
    }

    /// Where calls with so many tasks are counted.
    package static func index(ofTaskCount count: Int) -> Int {
        min(Int.bitWidth - (max(count, 1) - 1).leadingZeroBitCount, labels.count - 1)
    }

    /// Counts what was taken at once: one call on the bundled route, one for each task on the other.
    func note(_ taskCount: Int, route: TaskRoute) {
        guard taskCount > 0 else { return }
        let isBundle = route == .bundled
        let place = counts + (isBundle ? Self.index(ofTaskCount: taskCount) : 0)
        let calls = isBundle ? 1 : UInt64(taskCount)
        place.pointee.store(place.pointee.load(ordering: .relaxed) &+ calls, ordering: .relaxed)
        let size = isBundle ? taskCount : 1
        if size > largest.load(ordering: .relaxed) { largest.store(size, ordering: .relaxed) }
    }

    /// The calls of each size, and the largest: `{"1": 5, ..., "17-32": 0, "largest": 11}`.
    package var json: String {
        var fields = zip(Self.labels, 0...).map { "\"\($0)\": \(counts[$1].load(ordering: .relaxed))" }
        fields.append("\"largest\": \(largest.load(ordering: .relaxed))")
        return "{\(fields.joined(separator: ", "))}"
    }
}
