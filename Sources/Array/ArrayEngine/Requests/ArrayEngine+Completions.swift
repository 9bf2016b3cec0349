import MemberIO
import RAID

/// Outcomes of member I/O, and the requests that end with them.
extension ArrayEngine {
    /// Takes outcomes of member I/O without blocking. `completeNext` handles them.
    /// - Returns: their number.
    package func reap(_ lane: EngineLane) -> Int {
        precondition(lane.handledCount == lane.reapedCount, "earlier outcomes are not handled")
        guard lane.hasOutstandingIO else { return 0 }
        lane.reapedCount = lane.members.reap(into: lane.reaped)
        assert(lane.reapedCount <= lane.reaped.count, "more outcomes than there is room for")
        lane.handledCount = 0
        return lane.reapedCount
    }

    /// Handles the outcomes of the next array that has any, and plans what follows. The caller empties
    /// `EngineLane.finished`, and calls `plan` and `start` for that array.
    /// - Returns: the array, or nil when all outcomes are handled.
    package func completeNext(on lane: EngineLane) -> LiveArray? {
        let first = lane.handledCount
        guard first < lane.reapedCount else { return nil }
        let index = lane.reaped[first].engineToken.array
        var end = first + 1
        while end < lane.reapedCount && lane.reaped[end].engineToken.array == index { end += 1 }
        lane.handledCount = end
        assert(index < arrays.count, "the outcome is of no array")
        let array = arrays[index]
        complete(UnsafeMutableBufferPointer(rebasing: lane.reaped[first..<end]), lane, array)
        return array
    }

    /// Handles outcomes of one array: those of direct reads one by one, then the planner's under one lock.
    private func complete(
        _ completions: UnsafeMutableBufferPointer<MemberCompletion>, _ lane: EngineLane, _ array: LiveArray
    ) {
        assert(lane.output.isEmpty, "the lane has work of another call, perhaps for another array")
        var planned = 0
        for completion in completions {
            assert(completion.place.index < array.places.count, "the outcome is of no place of the array")
            switch completion.status {
            case .done: break
            case .refused: array.noteRefusal(by: completion.place)
            case .noSpace, .unreadable, .failed:
                if isFailure(completion, array) {
                    array.memberFailed(completion.place) { isFailure(completion, array) }
                }
            }
            if completion.engineToken.isDirect {
                completeDirect(completion, lane, array)
            } else {
                completions[planned] = completion
                planned += 1
            }
        }
        guard planned > 0 else { return }
        array.plannerLock.withLock {
            for completion in completions[..<planned] {
                array.planner.complete(completion.engineToken.planned, completion.status, into: &lane.output)
            }
            array.planner.finishBatch(into: &lane.output)
        }
        execute(lane, array)
    }

    /// Whether an I/O shows that its member has failed. An I/O from before a change of members says nothing of the
    /// member that has the place now.
    private func isFailure(_ completion: MemberCompletion, _ array: LiveArray) -> Bool {
        let token = completion.engineToken
        assert(token.array == array.index, "the outcome is of another array")
        if token.isDirect {
            // An unreadable block is no failure: the planner reads it again, and heals the block.
            return completion.status == .failed
                && directReads[token.tag].pointee.epoch == array.membershipEpoch.load(ordering: .acquiring)
        }
        return array.plannerLock.withLock {
            array.planner.isFailure(token.planned, at: completion.place, completion.status)
        }
    }

    /// Ends a direct read, or repeats it through the planner after it met a failed member, an unreadable block or a
    /// change of members.
    private func completeDirect(_ completion: MemberCompletion, _ lane: EngineLane, _ array: LiveArray) {
        let tag = completion.engineToken.tag
        let read = directReads[tag]
        assert(requests[Int(tag)].tag == tag, "the read was never begun")
        precondition(read.pointee.remaining > 0, "the read has no I/O under way")
        read.pointee.remaining -= 1
        if case .done = completion.status {} else { read.pointee.hasFailed = true }
        guard read.pointee.remaining == 0 else { return }
        let isCurrent = read.pointee.epoch == array.membershipEpoch.load(ordering: .acquiring)
        if (read.pointee.hasFailed || !isCurrent) && array.geometry.level == .raid5 {
            lane.requests.append(tag)
        } else {
            lane.finished.append(FinishedRequest(tag: tag, status: read.pointee.hasFailed ? .failed : .done))
        }
    }

    // MARK: The planner's work

    /// Does the work in the planner's output: parity, checksums, tests and reservations. Then stages its member I/Os,
    /// and notes finished requests.
    func execute(_ lane: EngineLane, _ array: LiveArray) {
        while !lane.output.isEmpty {
            for job in lane.output.parityJobs { run(job, lane) }
            for job in lane.output.checksumJobs { Checksum.run(job) }
            runTests(lane, array)
            let rejected = reserve(lane, array)
            for io in lane.output.memberIOs where io.byteCount > 0 || io.kind == .flush {
                assert(io.place.index < array.places.count, "an I/O goes to a place that the array has not")
                var io = io
                io.token = EngineToken.planned(array: array.index, io.plannerToken).rawValue
                lane.staged.append(io)
            }
            lane.finished.append(contentsOf: lane.output.finished)
            array.maintenance.ended(lane.output.maintained)
            for corrected in lane.output.correctedReads { array.report(corrected) }
            if lane.output.hasDoubt { array.noteDoubt() }
            swap(&lane.jobsDone, &lane.output.completeAfterJobs)
            lane.output.removeAll()
            if rejected.isEmpty && lane.jobsDone.isEmpty && lane.answers.isEmpty { return }
            assert(lane.output.isEmpty, "work was added while it was done")
            array.plannerLock.withLock {
                for token in rejected { array.planner.reject(token, into: &lane.output) }
                for token in lane.jobsDone { array.planner.complete(token, .done, into: &lane.output) }
                for (token, wrong) in lane.answers {
                    array.planner.tested(token, wrongBlocks: wrong, into: &lane.output)
                }
                array.planner.finishBatch(into: &lane.output)
            }
            lane.answers.removeAll(keepingCapacity: true)
            lane.jobsDone.removeAll(keepingCapacity: true)
        }
    }

    private func run(_ job: ParityJob, _ lane: EngineLane) {
        assert(
            job.firstSource + job.sourceCount <= lane.output.paritySources.count, "a source of parity is not there")
        lane.output.paritySources.withUnsafeBufferPointer { sources in
            lane.parity.generate(
                job.destination,
                from: UnsafeBufferPointer(rebasing: sources[job.firstSource..<job.firstSource + job.sourceCount]),
                byteCount: job.byteCount)
        }
    }

    /// Runs the tests that maintenance asks for: whether parity is right, and whether a range is a hole.
    private func runTests(_ lane: EngineLane, _ array: LiveArray) {
        for test in lane.output.zeroTests {
            assert(
                test.firstSource + test.sourceCount <= lane.output.paritySources.count,
                "a source of a test is not there")
            let wrong = lane.output.paritySources.withUnsafeBufferPointer { sources in
                lane.parity.wrongBlocks(
                    UnsafeBufferPointer(rebasing: sources[test.firstSource..<test.firstSource + test.sourceCount]),
                    byteCount: test.byteCount)
            }
            lane.answers.append((test.token, wrong))
        }
        for test in lane.output.holeTests {
            let end = test.byteOffset + test.byteCount
            assert(test.byteOffset >= array.geometry.dataByteOffset, "metadata is taken for data")
            let hasData = array.store.nextData(from: test.byteOffset).map { $0 < end } ?? false
            lane.answers.append((test.token, hasData ? 1 : 0))
        }
    }

    /// Reserves space for every write group. The I/Os of a group that finds none are not started.
    /// - Returns: the tokens of the groups without space.
    private func reserve(_ lane: EngineLane, _ array: LiveArray) -> [PlannerToken] {
        var rejected: [PlannerToken] = []
        for group in lane.output.groups {
            let range = group.firstIO..<group.firstIO + group.ioCount
            assert(
                !range.isEmpty && range.upperBound <= lane.output.memberIOs.count,
                "a group is of I/Os that are not there")
            assert(
                range.allSatisfy { lane.output.memberIOs[$0].kind != .read }, "a read waits for space")
            let hasSpace = range.allSatisfy { index in
                let io = lane.output.memberIOs[index]
                // Zeros that keep their space need it like data: a row that has them in part would have wrong parity.
                guard io.kind == .write || io.kind == .zero else { return true }
                assert(io.byteCount > 0, "space is reserved for nothing")
                return array.spaces[io.place.index].reserve(byteOffset: io.byteOffset, byteCount: UInt64(io.byteCount))
                    == .done
            }
            if hasSpace { continue }
            // An I/O of no bytes is not started.
            for index in range {
                lane.output.memberIOs[index].byteCount = 0
                lane.output.memberIOs[index].kind = .write
            }
            rejected.append(group.token)
        }
        return rejected
    }
}
