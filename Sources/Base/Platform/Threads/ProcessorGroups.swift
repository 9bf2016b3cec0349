import CLinux

/// The processors that this process may use, in groups of nearly equal size: a thread that is bound to a group is woken by
/// others on the same processor at a tenth of what a wake-up across processors costs.
///
/// Threads: any.
package final class ProcessorGroups: Sendable {
    /// Groups at most.
    package static let countMax = 8
    private static let numberMax = 1024

    /// One for each processor, up to `countMax`; at least one.
    package let count: Int
    /// By the processor's number.
    private let groups: [UInt8]
    private let members: [[UInt16]]

    /// Of the processors that the calling thread may use.
    package convenience init() {
        self.init(
            numbers: withUnsafeTemporaryAllocation(of: UInt16.self, capacity: Self.numberMax) { buffer in
                let known = nbdext_allowed_processors(buffer.baseAddress!, Int32(Self.numberMax))
                return Array(buffer[..<Int(known)])
            })
    }

    /// - Parameter numbers: the processors' numbers, each below 1024; none when they are not known.
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

    /// The group of the processor on which the calling thread runs. A moment later it may be another one.
    package var current: Int { group(ofProcessor: Int(nbdext_current_processor())) }

    func group(ofProcessor number: Int) -> Int { groups.indices.contains(number) ? Int(groups[number]) : 0 }

    /// The numbers of a group's processors. Whoever has fewer groups than another process shares them out anew.
    func processors(ofGroup group: Int) -> [UInt16] { members[group % count] }

    /// Keeps the calling thread on a group's processors from now on. It does not push others aside when it is woken, so
    /// that work gathers. Does nothing where the system does not allow it.
    package func bindCurrentThread(to group: Int) {
        processors(ofGroup: group).withUnsafeBufferPointer {
            if let numbers = $0.baseAddress { nbdext_bind_thread(numbers, Int32($0.count)) }
        }
    }
}
