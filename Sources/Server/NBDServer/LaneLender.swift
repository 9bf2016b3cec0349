import BlockStorage
import Platform
import Synchronization

/// Lends lanes to connections: a connection has one while it has requests. When there are none left, connections wait
/// for their turn without a thread, in the order in which they came.
///
/// Threads: any. A lane is made and closed by the thread that uses it.
final class LaneLender: @unchecked Sendable {
    // SAFETY: `lentCount` and `waiting` are touched under `lock`; `resume` never changes.

    /// After so long a connection gives its lane back as soon as it can, if others wait for one.
    static let turnMilliseconds: UInt64 = 20

    private let lock = Lock()
    /// Lanes that connections have, or are about to make.
    private var lentCount = 0
    private var waiting: [Connection] = []
    /// The count of `waiting`, for a look without the lock.
    private let waitingCount = Atomic<Int>(0)
    private let resume: @Sendable (Connection) -> Void

    /// - Parameter resume: gives a connection a thread, on which it borrows a lane with `isItsTurn`.
    init(resume: @escaping @Sendable (Connection) -> Void) { self.resume = resume }

    /// Whether a connection waits for a lane.
    var isWanted: Bool { waitingCount.load(ordering: .relaxed) > 0 }

    /// Whether any connection has a lane.
    var hasLent: Bool { lock.withLock { lentCount > 0 } }

    /// Borrows a lane for a connection.
    /// - Parameters:
    ///   - connection: put into the queue if it has to wait, and then the caller leaves it alone; nil for one that
    ///     cannot wait yet.
    ///   - isItsTurn: the connection was resumed: a lane was given back for it.
    ///   - make: makes the lane.
    /// - Returns: nil when there is none now.
    /// - Throws: when no lane can be made and nobody has one that could be waited for.
    func borrow(
        for connection: Connection?, isItsTurn: Bool, make: () throws -> any BlockLane
    ) throws -> (any BlockLane)? {
        let mustWait = lock.withLock {
            if isItsTurn { return false }
            guard waiting.isEmpty || lentCount == 0 else {
                enqueue(connection, at: waiting.count)
                return true
            }
            lentCount += 1
            return false
        }
        if mustWait { return nil }
        do { return try make() } catch {
            let (isQueued, next) = lock.withLock { () -> (Bool, Connection?) in
                assert(lentCount > 0, "a lane that failed was not counted")
                lentCount -= 1
                guard lentCount > 0 else { return (false, takeNext()) }
                enqueue(connection, at: isItsTurn ? 0 : waiting.count)
                return (true, nil)
            }
            if let next { resume(next) }
            if isQueued { return nil }
            throw error
        }
    }

    /// Counts a lane that its connection has closed. Whoever waits longest gets it.
    func giveBack() {
        let next = lock.withLock {
            assert(lentCount > 0, "more lanes are given back than were lent")
            lentCount -= 1
            return takeNext()
        }
        if let next { resume(next) }
    }

    /// Under `lock`.
    private func enqueue(_ connection: Connection?, at index: Int) {
        guard let connection else { return }
        waiting.insert(connection, at: index)
        waitingCount.store(waiting.count, ordering: .relaxed)
    }

    /// Under `lock`: takes a connection out of the queue, and counts the lane that it is about to make.
    private func takeNext() -> Connection? {
        guard !waiting.isEmpty else { return nil }
        let next = waiting.removeFirst()
        waitingCount.store(waiting.count, ordering: .relaxed)
        lentCount += 1
        return next
    }
}
