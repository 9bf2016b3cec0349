/// A thread's dealings with the driver: it sends tasks and takes the driver's calls until nothing is left to do. A host
/// may have several ways to the driver. It chooses one for each exchange, and only the host knows them.
package struct Exchange: BitwiseCopyable {
    /// The number of tasks that the thread brings; 0 when it only continues earlier work.
    let taskCount: Int
    /// Whether the thread may wait for the driver to take a task. Others may depend on a thread that must not.
    package var mayWait = true
    /// The way that the host has chosen; nil before.
    var way: Int?
    /// Whether the thread counts among those that take the driver's calls.
    var isTakingCalls = false

    /// An exchange whose way the host chooses when it begins.
    /// - Parameter taskCount: the number of tasks that the thread brings; 0 when it only continues earlier work.
    package init(taskCount: Int = 0) { self.taskCount = taskCount }

    init(way: Int) {
        self.init()
        self.way = way
    }
}

/// A set of tasks that reach the driver in the order in which they were taken. The host says for each task to which set
/// it belongs. Nothing is known of the order between tasks of different sets.
package struct SequenceDomain: RawRepresentable, Equatable, BitwiseCopyable, Sendable {
    /// A number that the host gives.
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The only domain of a host that sends all tasks by one way.
    package static let single = SequenceDomain(rawValue: 0)
}
