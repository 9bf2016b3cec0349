import MemberIO
import Members
import RAID
import Synchronization

/// The I/O and the working memory with which one thread works on the engine's arrays. Requests of one array at a time
/// are gathered in it, and start together.
///
/// Threads: one at a time, but `requestCount` any.
package final class EngineLane {
    /// Member completions taken at a time.
    private static let completionBatch = 256

    /// The engine whose arrays the lane works on.
    unowned let engine: ArrayEngine
    /// Below the engine's `laneCount`, and no other lane's at the same time.
    package let number: Int
    let members: MemberLane
    var output = PlannerOutput()
    let parity = Parity()
    /// Outcomes of member I/O, of which the first `handledCount` of `reapedCount` are handled.
    let reaped: UnsafeMutableBufferPointer<MemberCompletion>
    var reapedCount = 0
    var handledCount = 0
    /// The tags of one array's requests that go to its planner together.
    var requests: [UInt32] = []
    /// Tokens of one array's planner operations whose parity jobs have run.
    var jobsDone: [PlannerToken] = []
    /// The answers to the planner's tests.
    var answers: [(token: PlannerToken, wrongBlocks: UInt32)] = []
    /// Member I/Os of one array that start together.
    var staged: [MemberIO] = []
    /// The requests of one array that have ended. The caller empties it.
    package var finished: [FinishedRequest] = []
    private let requestCounter = Atomic<UInt64>(0)

    init(of engine: ArrayEngine, number: Int, members: MemberLane) {
        self.engine = engine
        self.number = number
        self.members = members
        reaped = .allocate(capacity: Self.completionBatch)
        requests.reserveCapacity(64)
        jobsDone.reserveCapacity(64)
        staged.reserveCapacity(1024)
        finished.reserveCapacity(256)
    }

    deinit {
        assert(requests.isEmpty && staged.isEmpty, "a lane ends with work that was never begun")
        assert(output.isEmpty && jobsDone.isEmpty && answers.isEmpty, "a lane ends with work that was never done")
        reaped.deallocate()
    }

    /// Whether requests are gathered that `ArrayEngine.plan` has not seen.
    package var hasRequests: Bool { !requests.isEmpty }

    /// Whether member I/O is under way, or has ended and was not taken.
    package var hasOutstandingIO: Bool { members.outstanding > 0 }

    /// Blocks until member I/O has ended or `descriptor` (unless negative) is readable.
    package func wait(orReadable descriptor: Int32) { members.wait(orReadable: descriptor) }

    /// How many requests the lane has taken. Any thread.
    var requestCount: UInt64 { requestCounter.load(ordering: .relaxed) }

    /// Counts a request. Only the lane's thread writes the count, so no addition in one step is needed.
    func countRequest() { requestCounter.store(requestCount &+ 1, ordering: .relaxed) }
}
