import MemberIO
import RAID

/// Member I/O of the planner and of the card: starting it, and handling its completions.
extension RAIDController {
    /// Gives the gathered requests to the array's planner, and starts all gathered member I/Os with one submission.
    func flushStaged(_ lane: CardLane, _ target: ArrayTarget) {
        if lane.canResume { resumeCommands(lane, target) }
        while !lane.requests.isEmpty {
            target.plannerLock.withLock {
                for request in lane.requests { target.planner.submit(request, into: &lane.output) }
                target.planner.finishBatch(into: &lane.output)
            }
            lane.requests.removeAll(keepingCapacity: true)
            execute(lane, target)
            if lane.canResume { resumeCommands(lane, target) }
        }
        start(lane, target)
    }

    /// Takes and handles the member completions of the lane's engine.
    /// - Returns: their number.
    func reap(_ lane: CardLane) -> Int {
        guard lane.members.outstanding > 0 else { return 0 }
        let count = lane.members.reap(into: lane.reaped)
        var first = 0
        while first < count {
            let array = lane.reaped[first].cardToken.array
            var end = first + 1
            while end < count && lane.reaped[end].cardToken.array == array { end += 1 }
            complete(UnsafeMutableBufferPointer(rebasing: lane.reaped[first..<end]), lane, arrays[array])
            first = end
        }
        return count
    }

    /// Handles completions of one array: the card's own one by one, then the planner's under one lock.
    private func complete(
        _ completions: UnsafeMutableBufferPointer<MemberCompletion>, _ lane: CardLane, _ target: ArrayTarget
    ) {
        var planned = 0
        for completion in completions {
            if completion.status == .refused {
                target.noteRefusal(by: Int(completion.member))
            } else if completion.status != .done && isFailure(completion, target) {
                target.memberFailed(Int(completion.member)) { isFailure(completion, target) }
            }
            if completion.cardToken.isDirect {
                completeDirect(completion, lane, target)
            } else {
                completions[planned] = completion
                planned += 1
            }
        }
        if planned > 0 {
            target.plannerLock.withLock {
                for completion in completions[..<planned] {
                    target.planner.complete(completion.cardToken.planned, completion.status, into: &lane.output)
                }
                target.planner.finishBatch(into: &lane.output)
            }
            execute(lane, target)
        }
        flushStaged(lane, target)
    }

    /// Whether an I/O shows that its member has failed. An I/O from before a change of members says nothing of the
    /// member that has the place now.
    private func isFailure(_ completion: MemberCompletion, _ target: ArrayTarget) -> Bool {
        let token = completion.cardToken
        if token.isDirect {
            let command = commands[token.command]
            // An unreadable block is no failure: the command is read again through the planner, which heals the block.
            return completion.status == .failed
                && command.pointee.membershipEpoch == target.membershipEpoch.load(ordering: .acquiring)
        }
        return target.plannerLock.withLock {
            target.planner.isFailure(token.planned, member: Int(completion.member), completion.status)
        }
    }

    private func completeDirect(_ completion: MemberCompletion, _ lane: CardLane, _ target: ArrayTarget) {
        let number = completion.cardToken.command
        let command = commands[number]
        command.pointee.remaining -= 1
        if completion.status != .done { command.pointee.status = .failed }
        guard command.pointee.remaining == 0 else { return }
        let isCurrent = command.pointee.membershipEpoch == target.membershipEpoch.load(ordering: .acquiring)
        if (command.pointee.status == .failed || !isCurrent) && target.geometry.level == .raid5 {
            reread(number, lane)
        } else {
            finish(number, target, lane, status: command.pointee.status)
        }
    }

    /// Does the work in the planner's output: parity, checksums, tests and reservations. Then stages its member I/Os,
    /// and answers finished commands.
    func execute(_ lane: CardLane, _ target: ArrayTarget) {
        while !lane.output.isEmpty {
            for job in lane.output.parityJobs { run(job, lane) }
            for job in lane.output.checksumJobs { Checksum.run(job) }
            runTests(lane, target)
            let rejected = reserve(lane, target)
            for io in lane.output.memberIOs where io.byteCount > 0 || io.kind == .flush {
                var io = io
                io.token = CardToken.planned(array: target.index, io.plannerToken).rawValue
                lane.staged.append(io)
            }
            for finished in lane.output.finished {
                if finished.tag < Self.commandCapacity {
                    finish(finished.tag, target, lane, status: finished.status)
                } else {
                    endDestage(finished, lane, target)
                }
            }
            target.maintenance.ended(lane.output.maintained)
            for corrected in lane.output.correctedReads { target.report(corrected) }
            if lane.output.hasDoubt { target.noteDoubt() }
            swap(&lane.jobsDone, &lane.output.completeAfterJobs)
            lane.output.removeAll()
            if rejected.isEmpty && lane.jobsDone.isEmpty && lane.answers.isEmpty { return }
            target.plannerLock.withLock {
                for token in rejected { target.planner.reject(token, into: &lane.output) }
                for token in lane.jobsDone { target.planner.complete(token, .done, into: &lane.output) }
                for (token, wrong) in lane.answers {
                    target.planner.tested(token, wrongBlocks: wrong, into: &lane.output)
                }
                target.planner.finishBatch(into: &lane.output)
            }
            lane.answers.removeAll(keepingCapacity: true)
            lane.jobsDone.removeAll(keepingCapacity: true)
        }
    }

    private func run(_ job: ParityJob, _ lane: CardLane) {
        lane.output.paritySources.withUnsafeBufferPointer { sources in
            lane.parity.generate(
                job.destination,
                from: UnsafeBufferPointer(rebasing: sources[job.firstSource..<job.firstSource + job.sourceCount]),
                byteCount: job.byteCount)
        }
    }

    /// Runs the tests that maintenance asks for: whether parity is right, and whether a range is a hole.
    private func runTests(_ lane: CardLane, _ target: ArrayTarget) {
        for test in lane.output.zeroTests {
            let wrong = lane.output.paritySources.withUnsafeBufferPointer { sources in
                lane.parity.wrongBlocks(
                    UnsafeBufferPointer(rebasing: sources[test.firstSource..<test.firstSource + test.sourceCount]),
                    byteCount: test.byteCount)
            }
            lane.answers.append((test.token, wrong))
        }
        for test in lane.output.holeTests {
            let end = test.byteOffset + test.byteCount
            let hasData = target.array.nextData(from: test.byteOffset).map { $0 < end } ?? false
            lane.answers.append((test.token, hasData ? 1 : 0))
        }
    }

    /// Reserves space for every write group. The I/Os of a group that finds none are not started.
    /// - Returns: the tokens of the groups without space.
    private func reserve(_ lane: CardLane, _ target: ArrayTarget) -> [PlannerToken] {
        var rejected: [PlannerToken] = []
        for group in lane.output.groups {
            let range = group.firstIO..<group.firstIO + group.ioCount
            let hasSpace = range.allSatisfy { index in
                let io = lane.output.memberIOs[index]
                // Zeros that keep their space need it like data: a row that has them in part would have wrong parity.
                guard io.kind == .write || io.kind == .zero else { return true }
                return target.spaces[Int(io.member)].reserve(byteOffset: io.byteOffset, byteCount: UInt64(io.byteCount))
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

    /// Starts the staged I/Os with one call to the engine.
    func start(_ lane: CardLane, _ target: ArrayTarget) {
        guard !lane.staged.isEmpty else { return }
        forgetPunched(lane, target)
        lane.staged.withUnsafeBufferPointer { lane.members.start($0, fileBase: target.fileBase) }
        forgetPunched(lane, target)
        lane.staged.removeAll(keepingCapacity: true)
    }

    /// Records that punched ranges have no space any more: before the punch, for lanes that look meanwhile, and after
    /// it.
    private func forgetPunched(_ lane: CardLane, _ target: ArrayTarget) {
        for io in lane.staged where io.kind == .punch {
            target.spaces[Int(io.member)].forget(byteOffset: io.byteOffset, byteCount: UInt64(io.byteCount))
        }
    }
}

extension MemberCompletion {
    /// The token that the card had given to the I/O.
    fileprivate var cardToken: CardToken { CardToken(rawValue: token) }
}
