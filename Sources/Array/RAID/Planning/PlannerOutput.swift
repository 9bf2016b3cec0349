import MemberIO

/// A destination that becomes the exclusive-or of its sources; one source is a copy.
package struct ParityJob: BitwiseCopyable {
    package var destination: UnsafeMutableRawPointer
    package var byteCount: Int
    /// Where the job's sources begin in `PlannerOutput.paritySources`, and how many there are.
    package var firstSource: Int
    package var sourceCount: Int
}

/// Memory whose CRC-32C (as `CRC32C` computes it) is to be put somewhere, little-endian. After all parity jobs, and in
/// order: a job's source may be another's destination.
package struct ChecksumJob: BitwiseCopyable {
    package var destination: UnsafeMutableRawPointer
    package var source: UnsafeRawPointer
    package var byteCount: Int

    init(destination: UnsafeMutableRawPointer, source: UnsafeMutableRawPointer, byteCount: Int) {
        self.destination = destination
        self.source = UnsafeRawPointer(source)
        self.byteCount = byteCount
    }
}

/// Member I/Os that start together or not at all: before the first one, the executor makes sure that all its writes
/// have space, and calls `RAIDPlanner.reject` if they do not.
package struct WriteGroup: BitwiseCopyable {
    package var firstIO: Int
    package var ioCount: Int
    package var token: UInt64
}

/// A request that ended.
package struct FinishedRequest: BitwiseCopyable {
    package var tag: UInt32
    package var status: ArrayStatus
}

/// What a planner wants done. The executor runs all parity jobs, then all checksum jobs, and tells the planner of those that it waits for, starts
/// the member I/Os (those inside a group only after its space is certain), and reports the finished requests.
///
/// A value that is reused, so that nothing is allocated once its arrays have grown.
package struct PlannerOutput {
    package var parityJobs: [ParityJob] = []
    package var paritySources: [UnsafeRawPointer] = []
    package var checksumJobs: [ChecksumJob] = []
    /// Tokens to complete with `.done` once the parity jobs have run: their results are what an operation was for, and
    /// until then their sources must not be reused.
    package var completeAfterJobs: [UInt64] = []
    package var memberIOs: [MemberIO] = []
    package var groups: [WriteGroup] = []
    package var finished: [FinishedRequest] = []
    /// To be answered once the parity jobs have run.
    package var zeroTests: [ZeroTest] = []
    package var holeTests: [HoleTest] = []
    /// Maintenance that ended.
    package var maintained: [MaintenanceOutcome] = []
    /// Blocks that members can read again.
    package var correctedReads: [CorrectedRead] = []
    /// Parity has come into doubt (`RAIDPlanner.isParityDoubtful`).
    package var hasDoubt = false

    package init() {
        parityJobs.reserveCapacity(256)
        paritySources.reserveCapacity(1024)
        checksumJobs.reserveCapacity(256)
        completeAfterJobs.reserveCapacity(64)
        memberIOs.reserveCapacity(1024)
        groups.reserveCapacity(256)
        finished.reserveCapacity(256)
    }

    package var isEmpty: Bool {
        memberIOs.isEmpty && finished.isEmpty && parityJobs.isEmpty && zeroTests.isEmpty && holeTests.isEmpty
            && maintained.isEmpty && correctedReads.isEmpty && !hasDoubt
    }

    package mutating func removeAll() {
        parityJobs.removeAll(keepingCapacity: true)
        paritySources.removeAll(keepingCapacity: true)
        checksumJobs.removeAll(keepingCapacity: true)
        completeAfterJobs.removeAll(keepingCapacity: true)
        memberIOs.removeAll(keepingCapacity: true)
        groups.removeAll(keepingCapacity: true)
        finished.removeAll(keepingCapacity: true)
        zeroTests.removeAll(keepingCapacity: true)
        holeTests.removeAll(keepingCapacity: true)
        maintained.removeAll(keepingCapacity: true)
        correctedReads.removeAll(keepingCapacity: true)
        hasDoubt = false
    }
}
