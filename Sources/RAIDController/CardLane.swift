import MemberIO
import Members
import RAID
import RAIDControllerInterface

/// What one thread needs to run the card: an I/O engine of its own and working memory. Used by one thread at a time.
final class CardLane {
    /// Commands taken from the submission ring at a time.
    static let commandBatch = 64
    /// Member completions reaped at a time.
    static let completionBatch = 256

    let members: MemberLane
    let output: PlannerOutput
    let parity = Parity()
    let commands: UnsafeMutablePointer<RAIDCommandDescriptor>
    let reaped: UnsafeMutableBufferPointer<MemberCompletion>
    /// Member I/Os that go to the engine together, and the array that they belong to.
    var staged: [MemberIO] = []
    /// Command completions that go to the ring together, and the table entries that they free.
    var finished: [RAIDCompletionDescriptor] = []
    var finishedNumbers: [UInt32] = []

    init(members: MemberLane) {
        self.members = members
        output = PlannerOutput()
        commands = .allocate(capacity: Self.commandBatch)
        reaped = .allocate(capacity: Self.completionBatch)
        staged.reserveCapacity(1024)
        finished.reserveCapacity(256)
        finishedNumbers.reserveCapacity(256)
    }

    deinit {
        commands.deallocate()
        reaped.deallocate()
    }
}
