import MemberIO
import Members
import RAID
import Synchronization

/// The I/O engine and the working memory with which one thread runs the card. One thread at a time uses a lane.
final class CardLane {
    /// Commands taken from the submission ring at a time.
    static let commandBatch = 64
    /// Member completions reaped at a time.
    static let completionBatch = 256

    let members: MemberLane
    /// The number of commands that the lane has taken. Its thread writes it; any thread reads it.
    let takenCount = Atomic<UInt64>(0)
    var output = PlannerOutput()
    let parity = Parity()
    let commands: UnsafeMutablePointer<FetchedCommand>
    let reaped: UnsafeMutableBufferPointer<MemberCompletion>
    /// Requests of one array that go to its planner together.
    var requests: [ArrayRequest] = []
    /// Tokens of one array's planner operations whose parity jobs have run.
    var jobsDone: [PlannerToken] = []
    /// The answers to the planner's tests.
    var answers: [(token: PlannerToken, wrongBlocks: UInt32)] = []
    /// Member I/Os of one array that go to the engine together.
    var staged: [MemberIO] = []
    /// Destage runs that a cache has started, and whose requests are still to be made.
    var destages: [Int] = []
    /// Commands of one array that waited for its cache, and can go on now.
    var resumed: [UInt32] = []
    /// Whether commands of that array can go on: those in `resumed`, or starved ones.
    var canResume = false
    /// Completions that go to the ring together.
    var finished: [FinishedCommand] = []
    /// The entries of the command table that `finished` frees.
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
