import MemberIO

/// Flushes of all members, in rounds. One round is under way at a time; requests that come meanwhile share the next
/// one.
///
/// A member reports lost writes once, to the flush that ends first (fsync(2)). If two were under way, the other could
/// be answered as good before the member is known to have failed. Besides, one flush serves many requests.
struct FlushRounds {
    /// Member I/Os of the round that have not come back.
    var outstanding = 0
    var status = ArrayStatus.done
    /// Tags of the requests that the round answers.
    var answered: [UInt32] = []
    /// Tags of the requests that wait for the next round.
    var waiting: [UInt32] = []

    init(requestCapacity: Int) {
        answered.reserveCapacity(requestCapacity)
        waiting.reserveCapacity(requestCapacity)
    }

    /// Begins a round, which answers the requests that waited.
    mutating func begin() {
        assert(outstanding == 0 && answered.isEmpty, "a round is under way")
        swap(&answered, &waiting)
        status = .done
    }
}

extension RAIDPlanner {
    /// Ends a request with a flush that begins from now on.
    func flush(_ tag: UInt32, into output: inout PlannerOutput) {
        assert(!requests[tag].pointee.isFlushing, "a request flushes once")
        requests[tag].pointee.isFlushing = true
        requests[tag].pointee.remaining += 1
        flushes.waiting.append(tag)
        if flushes.outstanding == 0 { beginFlushRound(into: &output) }
    }

    private func beginFlushRound(into output: inout PlannerOutput) {
        flushes.begin()
        // A failed array is left as it is.
        guard state != .failed else { return answerFlushes(into: &output) }
        for member in geometry.roles where member != members.absent {
            output.memberIOs.append(MemberIO.flush(Place(member), token: token(.flushRound)))
            flushes.outstanding += 1
        }
        guard let replacement else { return }
        emitToReplacement(MemberIO.flush(Place(replacement.member), token: token(.flushRound)), into: &output)
        flushes.outstanding += 1
    }

    /// Takes the outcome of a member's flush.
    func completeFlush(_ status: MemberStatus, into output: inout PlannerOutput) {
        assert(flushes.outstanding > 0, "no flush of a round is under way")
        flushes.outstanding -= 1
        switch status {
        case .done: break
        case .noSpace: flushes.status = flushes.status.combined(with: .noSpace)
        case .refused: flushes.status = flushes.status.combined(with: .refused)
        case .failed, .unreadable:
            // The other members make up for what a failed one has lost.
            if geometry.level == .raid0 || state == .failed { flushes.status = .failed }
            // A later flush would claim that the lost writes are durable.
            if geometry.level == .raid0 { members.failArray() }
        }
        guard flushes.outstanding == 0 else { return }
        answerFlushes(into: &output)
        if !flushes.waiting.isEmpty { beginFlushRound(into: &output) }
    }

    private func answerFlushes(into output: inout PlannerOutput) {
        for tag in flushes.answered {
            assert(requests[tag].pointee.isFlushing, "a request is answered that wants no flush")
            requests[tag].pointee.remaining -= 1
            requests[tag].pointee.status = requests[tag].pointee.status.combined(with: flushes.status)
            finishRequestPart(tag, into: &output)
        }
        flushes.answered.removeAll(keepingCapacity: true)
    }
}
