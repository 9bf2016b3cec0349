/// The driver's end of the card's two rings, in memory that the driver shares with the card.
///
/// The owner maps that memory for the card, and has the way to the registers.
///
/// Threads: one at a time posts commands and rings the doorbell; one at a time, perhaps another one, takes completions.
public final class CardRingClient {
    @usableFromInline let submissions: UnsafeMutablePointer<RAIDCommandDescriptor>
    @usableFromInline let header: UnsafeMutablePointer<RAIDCompletionRingHeader>
    @usableFromInline let completions: UnsafePointer<RAIDCompletionDescriptor>
    @usableFromInline let capacity: UInt32
    @usableFromInline var submissionTail: UInt32 = 0
    @usableFromInline var completionHead: UInt32 = 0

    /// - Parameters:
    ///   - submissions: `RAIDCommandDescriptor.ringByteCount(capacity:)` bytes, aligned to 64.
    ///   - completions: `RAIDCompletionDescriptor.ringByteCount(capacity:)` bytes, aligned to 64.
    ///   - capacity: the entries of each ring, a power of two. There must never be more commands under way.
    public init(submissions: UnsafeMutableRawPointer, completions: UnsafeMutableRawPointer, capacity: Int) {
        precondition(capacity.nonzeroBitCount == 1, "a ring's capacity is a power of two, and not \(capacity)")
        let alignment = UInt(bitPattern: submissions) | UInt(bitPattern: completions)
        precondition(alignment & 63 == 0, "rings are aligned to 64 bytes")
        self.submissions = submissions.bindMemory(to: RAIDCommandDescriptor.self, capacity: capacity)
        header = completions.bindMemory(to: RAIDCompletionRingHeader.self, capacity: 1)
        self.completions = UnsafePointer(
            (completions + MemoryLayout<RAIDCompletionRingHeader>.size)
                .bindMemory(to: RAIDCompletionDescriptor.self, capacity: capacity))
        self.capacity = UInt32(capacity)
    }

    /// Empties the rings, programs their bus addresses and capacities, and enables the card.
    /// - Parameter writeRegister: writes a register of the card, by its offset.
    public func enable(
        submissionAddress: UInt64, completionAddress: UInt64, _ writeRegister: (_ offset: Int, _ value: UInt32) -> Void
    ) {
        submissionTail = 0
        completionHead = 0
        header.initialize(to: RAIDCompletionRingHeader())
        writeRegister(RAIDControllerRegister.submissionBaseLow, UInt32(truncatingIfNeeded: submissionAddress))
        writeRegister(RAIDControllerRegister.submissionBaseHigh, UInt32(truncatingIfNeeded: submissionAddress >> 32))
        writeRegister(RAIDControllerRegister.submissionCapacity, capacity)
        writeRegister(RAIDControllerRegister.completionBaseLow, UInt32(truncatingIfNeeded: completionAddress))
        writeRegister(RAIDControllerRegister.completionBaseHigh, UInt32(truncatingIfNeeded: completionAddress >> 32))
        writeRegister(RAIDControllerRegister.completionCapacity, capacity)
        writeRegister(RAIDControllerRegister.control, RAIDControllerRegister.controlEnable)
    }

    /// Adds an entry to the submission ring. The caller fills all of its fields in place, before it rings the doorbell.
    @inlinable
    public func addCommand() -> UnsafeMutablePointer<RAIDCommandDescriptor> {
        let entry = submissions + Int(submissionTail & (capacity &- 1))
        submissionTail &+= 1
        return entry
    }

    /// Tells the card of all commands added so far, with one register write.
    /// - Parameter writeRegister: writes a register of the card, by its offset.
    @inlinable
    public func ringDoorbell(_ writeRegister: (_ offset: Int, _ value: UInt32) -> Void) {
        RAIDSubmissionRingPublish()
        writeRegister(RAIDControllerRegister.submissionTail, submissionTail)
    }

    /// Calls `body` with each completion that the card has written and that was not taken yet. The entry belongs to the
    /// card again when `body` returns.
    @inlinable
    public func takeCompletions<Failure: Error>(
        _ body: (UnsafePointer<RAIDCompletionDescriptor>) throws(Failure) -> Void
    ) throws(Failure) {
        let producerIndex = RAIDCompletionRingLoadProducerIndex(header)
        while completionHead != producerIndex {
            let entry = completions + Int(completionHead & (capacity &- 1))
            completionHead &+= 1
            try body(entry)
        }
    }
}
