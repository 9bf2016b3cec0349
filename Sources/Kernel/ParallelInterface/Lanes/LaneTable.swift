import Glibc
import HardwareBus
import Platform
import Synchronization

/// The lanes in use.
///
/// Threads: any. The state of a lane belongs to the lane's thread.
final class LaneTable: Sendable {
    /// What a lane's thread has to know from one call to the next.
    struct State {
        /// A frame below on the thread's stack is pumping.
        var isActive = false
        /// Slots were queued that this lane has to send.
        var mustSend = false
        /// The thread may wait for the driver to take a task.
        var mayWait = true
    }

    let count: Int
    private let clientCountMax: Int
    private let card: PCIFunction
    private let clients = Atomic<Int>(0)
    // SAFETY: the pointer never changes, and each state belongs to its lane's thread.
    private nonisolated(unsafe) let states: UnsafeMutablePointer<State>

    /// - Parameters:
    ///   - count: lanes in all.
    ///   - clientCountMax: clients' lanes at the same time at most.
    init(count: Int, clientCountMax: Int, card: PCIFunction) {
        self.count = count
        self.clientCountMax = clientCountMax
        self.card = card
        states = .allocate(capacity: count)
        states.initialize(repeating: State(), count: count)
    }

    deinit { states.deallocate() }

    subscript(lane: Int) -> UnsafeMutablePointer<State> {
        assert(lane >= 0 && lane < count, "lane \(lane) does not exist")
        return states + lane
    }

    /// Lanes in use by clients.
    var clientCount: Int { clients.load(ordering: .relaxed) }

    /// Makes a lane for a thread of the machine's own.
    /// - Throws: if the card has none left.
    func make() throws -> Int {
        let lane = try card.makeLane()
        precondition(lane < count)
        assert(!self[lane].pointee.isActive, "lane \(lane) was made, and a thread works on it")
        states[lane] = State()
        return lane
    }

    /// Makes a lane on behalf of a client or an array.
    /// - Throws: if all lanes are in use, or the card has none left.
    func makeForClient() throws -> Int {
        let count = clients.add(1, ordering: .relaxed).newValue
        do {
            guard count <= clientCountMax else {
                throw OSError(code: EUSERS, doing: "serve more than \(clientCountMax) clients")
            }
            return try make()
        } catch {
            clientLeaves()
            throw error
        }
    }

    /// Gives back a lane whose work is done.
    func release(_ lane: Int) {
        assert(!self[lane].pointee.isActive, "lane \(lane) was given back while its thread works")
        assert(!self[lane].pointee.mustSend, "lane \(lane) was given back, and has slots to send")
        assert(!card.hasOutstandingWork(lane: lane), "lane \(lane) was given back, and its I/O is not done")
        card.releaseLane(lane)
    }

    /// Counts a client's lane that was given back.
    func clientLeaves() {
        let left = clients.subtract(1, ordering: .relaxed).newValue
        assert(left >= 0, "more clients have left than came")
    }
}
