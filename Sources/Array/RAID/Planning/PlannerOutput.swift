import MemberIO

/// A destination that becomes the exclusive-or of its sources. One source is a copy.
package struct ParityJob: BitwiseCopyable {
    /// Memory for the result.
    package var destination: UnsafeMutableRawPointer
    package var byteCount: Int
    /// The index of the job's first source in `PlannerOutput.paritySources`.
    package var firstSource: Int
    /// How many sources follow from there.
    package var sourceCount: Int
}

/// Stores the CRC-32C of memory (as `CRC32C` computes it) in 4 bytes, little-endian. Checksum jobs run after all parity
/// jobs and in order: a job's source may be another's destination.
package struct ChecksumJob: BitwiseCopyable {
    /// Where the checksum goes.
    package var destination: UnsafeMutableRawPointer
    /// The memory that is summed.
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
    /// The index of the group's first I/O in `PlannerOutput.memberIOs`.
    package var firstIO: Int
    /// How many I/Os follow from there.
    package var ioCount: Int
    /// The argument of `RAIDPlanner.reject`.
    package var token: PlannerToken
}

/// A request that ended.
package struct FinishedRequest: BitwiseCopyable {
    /// The request's tag.
    package var tag: UInt32
    /// How it ended.
    package var status: ArrayStatus

    package init(tag: UInt32, status: ArrayStatus) {
        self.tag = tag
        self.status = status
    }
}

/// The work that a planner wants done. The executor runs all parity jobs, then all checksum jobs, then the tests. It
/// starts the member I/Os (those of a group only once its space is certain), reports the finished requests, and
/// completes the tokens that waited for the parity jobs.
///
/// The value is reused: nothing is allocated once its arrays have grown.
package struct PlannerOutput {
    /// Run before everything else.
    package var parityJobs: [ParityJob] = []
    /// The sources of parity jobs and zero tests.
    package var paritySources: [UnsafeRawPointer] = []
    /// Run after the parity jobs, in order.
    package var checksumJobs: [ChecksumJob] = []
    /// Tokens to complete with `.done` once the parity jobs have run: their results are what an operation was for, and
    /// until then their sources must not be reused.
    package var completeAfterJobs: [PlannerToken] = []
    /// To be started; those of a group only once its space is certain.
    package var memberIOs: [MemberIO] = []
    /// Which of the member I/Os start together or not at all.
    package var groups: [WriteGroup] = []
    /// Requests that ended.
    package var finished: [FinishedRequest] = []
    /// To be answered with `RAIDPlanner.tested` once the parity jobs have run.
    package var zeroTests: [ZeroTest] = []
    /// To be answered with `RAIDPlanner.tested`.
    package var holeTests: [HoleTest] = []
    /// Maintenance that ended.
    package var maintained: [MaintenanceOutcome] = []
    /// Blocks that were healed.
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

    /// Whether there is nothing to do. What is not tested here never comes alone.
    package var isEmpty: Bool {
        memberIOs.isEmpty && finished.isEmpty && parityJobs.isEmpty && zeroTests.isEmpty && holeTests.isEmpty
            && maintained.isEmpty && correctedReads.isEmpty && !hasDoubt
    }

    /// Adds a job that computes `destination` from the sources that were appended last.
    /// - Parameter firstSource: how many sources there were before.
    mutating func computeParity(_ destination: UnsafeMutableRawPointer, byteCount: Int, from firstSource: Int) {
        assert(paritySources.count > firstSource, "parity is computed from nothing")
        parityJobs.append(
            ParityJob(
                destination: destination, byteCount: byteCount, firstSource: firstSource,
                sourceCount: paritySources.count - firstSource))
    }

    /// Empties the value and keeps its memory.
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
