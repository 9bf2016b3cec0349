import CLinux

/// The processors that this process may use, in groups of nearly equal size. A bound thread is woken from its own
/// processor at a tenth of the cost of a wake-up across processors.
///
/// Threads: any.
package final class ProcessorGroups: Sendable {
    /// The most groups.
    package static let countMax = 8
    private static let numberMax = 1024

    /// The number of groups: one for each processor, between 1 and `countMax`.
    package let count: Int
    /// The group of each processor, by its number.
    private let groups: [UInt8]
    private let members: [[UInt16]]

    /// Groups the processors that the calling thread may use.
    package convenience init() {
        self.init(
            numbers: withUnsafeTemporaryAllocation(of: UInt16.self, capacity: Self.numberMax) { buffer in
                let known = nbdext_allowed_processors(buffer.baseAddress!, Int32(Self.numberMax))
                return Array(buffer[..<Int(known)])
            })
    }

    /// - Parameter numbers: the processors' numbers, each below 1024; empty when they are unknown.
    init(numbers: [UInt16]) {
        count = max(1, min(numbers.count, Self.countMax))
        var groups = [UInt8](repeating: 0, count: Self.numberMax)
        var members = [[UInt16]](repeating: [], count: count)
        for (index, number) in numbers.enumerated() {
            groups[Int(number)] = UInt8(index % count)
            members[index % count].append(number)
        }
        self.groups = groups
        self.members = members
    }

    /// The group of the processor that runs the calling thread now. It may move at any time.
    package var current: Int { group(ofProcessor: Int(nbdext_current_processor())) }

    func group(ofProcessor number: Int) -> Int { groups.indices.contains(number) ? Int(groups[number]) : 0 }

    /// The numbers of a group's processors. Another process may have numbered more groups than this one has, so the
    /// index wraps.
    func processors(ofGroup group: Int) -> [UInt16] { members[group % count] }

    /// Binds the calling thread to a group's processors, as SCHED_BATCH: a wake-up does not preempt other threads, so
    /// that work gathers. Does nothing where the system does not allow it.
    package func bindCurrentThread(to group: Int) {
        processors(ofGroup: group).withUnsafeBufferPointer {
            if let numbers = $0.baseAddress { nbdext_bind_thread(numbers, Int32($0.count)) }
        }
    }
}
