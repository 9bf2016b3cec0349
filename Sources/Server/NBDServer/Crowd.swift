import Synchronization

/// How many clients there are, for each connection to see.
///
/// Threads: any.
final class Crowd: Sendable {
    private let count = Atomic<Int>(0)
    private let limit: Int

    /// - Parameter limit: clients that each can have a processor for itself.
    init(limit: Int) { self.limit = limit }

    /// Whether each client can have a processor for itself.
    var leavesRoom: Bool { count.load(ordering: .relaxed) <= limit }

    func enter() { count.add(1, ordering: .relaxed) }
    func leave() { count.subtract(1, ordering: .relaxed) }
}
