import Synchronization

/// The number of clients, which every connection can see.
///
/// Threads: any.
final class ConnectionCount: Sendable {
    private let count = Atomic<Int>(0)
    private let limit: Int

    /// - Parameter limit: the most clients that can each have a processor for themselves.
    init(limit: Int) { self.limit = limit }

    /// Whether each client can have a processor for itself.
    var leavesRoom: Bool { count.load(ordering: .relaxed) <= limit }

    func enter() { count.add(1, ordering: .relaxed) }
    func leave() { count.subtract(1, ordering: .relaxed) }
}
