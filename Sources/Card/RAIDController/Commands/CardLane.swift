import MemberIO
import Members
import RAID
import RAIDControllerInterface
import Synchronization

/// What one thread needs to run the card: an I/O engine of its own and working memory. Used by one thread at a time.
final class CardLane {
    /// Commands taken from the submission ring at a time.
    static let commandBatch = 64
    /// Member completions reaped at a time.
    static let completionBatch = 256

    let members: MemberLane
    /// Commands that the lane has taken so far. Written by its thread, read by any.
    let takenCount = Atomic<UInt64>(0)
    var output = PlannerOutput()
    let parity = Parity()
    let commands: UnsafeMutablePointer<FetchedCommand>
    let reaped: UnsafeMutableBufferPointer<MemberCompletion>
    /// Requests of one array that go to its planner together.
    var requests: [ArrayRequest] = []
    /// Operations of one array's planner that waited for parity jobs, which have run.
    var jobsDone: [UInt64] = []
    /// The answers to the planner's tests.
    var answers: [(token: UInt64, wrongBlocks: UInt32)] = []
    /// Member I/Os of one array that go to the engine together.
    var staged: [MemberIO] = []
    /// Destage runs that a cache started and that are to be requested.
    var destages: [Int] = []
    /// Commands of one array that waited for its cache and can go on.
    var resumed: [UInt32] = []
    /// Whether commands of that array can go on, in `resumed` or starved.
    var canResume = false
    /// Command completions that go to the ring together, and the table entries that they free.
    var finished: [RAIDCompletionDescriptor] = []
    var finishedNumbers: [UInt32] = []

    init(members: MemberLane) {
        self.members = members
        commands = .allocate(capacity: Self.commandBatch)
        reaped = .allocate(capacity: Self.completionBatch)
        requests.reserveCapacity(64)
        jobsDone.reserveCapacity(64)
        staged.reserveCapacity(1024)
        destages.reserveCapacity(WriteCache.runCapacity)
        resumed.reserveCapacity(256)
        finished.reserveCapacity(256)
        finishedNumbers.reserveCapacity(256)
    }

    deinit {
        commands.deallocate()
        reaped.deallocate()
    }
}
