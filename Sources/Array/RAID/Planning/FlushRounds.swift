import MDFormat
import MemberIO

/// Flushes of all members, in rounds. One round is under way at a time; requests that come meanwhile share the next
/// one.
///
/// A member reports lost writes once, to the flush that ends first (fsync(2)). If two were under way, the other could
/// be answered as good before the member is known to have failed. Besides, one flush serves many requests.
struct FlushRounds {
    private let geometry: ArrayGeometry
    /// Member I/Os of the round that have not come back.
    private var outstanding = 0
    /// How the round ended, so far.
    private(set) var status = ArrayStatus.done
    /// A ring of tags of requests: those that the round answers, then those that wait for the next one.
    private let tags: UnsafeMutablePointer<UInt32>
    private let capacity: Int
    /// How many requests have come, are answered by this round or an earlier one, and were told.
    private var requestCount = 0
    private var answeredCount = 0
    private var toldCount = 0

    init(geometry: ArrayGeometry, requestCapacity: Int) {
        self.geometry = geometry
        capacity = requestCapacity
        tags = .allocate(capacity: requestCapacity)
    }

    func deallocate() { tags.deallocate() }

    /// Lets a request wait for a round that begins from now on.
    mutating func append(_ tag: UInt32) {
        assert(requestCount - toldCount < capacity, "each request flushes once")
        tags[requestCount % capacity] = tag
        requestCount += 1
    }

    /// Whether a round can begin: none is under way, and requests wait for one.
    var canBegin: Bool { outstanding == 0 && requestCount != answeredCount }

    /// Begins a round, for the requests that waited. A failed array is left as it is.
    /// - Returns: whether the round is over already.
    mutating func begin(_ members: inout PlannedMembers, into output: inout PlannerOutput) -> Bool {
        assert(canBegin && toldCount == answeredCount, "a round is under way")
        answeredCount = requestCount
        status = .done
        guard members.state != .failed else { return true }
        for role in geometry.roles where role != members.absent {
            output.memberIOs.append(.flush(Place(role), token: members.token(.flushRound)))
            outstanding += 1
        }
        guard let replacement = members.replacement else { return false }
        let flush = MemberIO.flush(Place(replacement.member), token: members.token(.flushRound))
        members.emitToReplacement(flush, into: &output)
        outstanding += 1
        return false
    }

    /// Takes the outcome of a member's flush.
    /// - Returns: whether the round is over. The caller answers its requests (`takeAnswered`).
    mutating func complete(_ status: MemberStatus, _ members: inout PlannedMembers) -> Bool {
        assert(outstanding > 0, "no flush of a round is under way")
        outstanding -= 1
        switch status {
        case .done: break
        case .noSpace: self.status = self.status.combined(with: .noSpace)
        case .refused: self.status = self.status.combined(with: .refused)
        case .failed, .unreadable:
            // The other members make up for what a failed one has lost.
            if geometry.level == .raid0 || members.state == .failed { self.status = .failed }
            // A later flush would claim that the lost writes are durable.
            if geometry.level == .raid0 { members.failArray() }
        }
        return outstanding == 0
    }

    /// The tag of a request that the round answers and that was not told yet, or nil.
    mutating func takeAnswered() -> UInt32? {
        guard outstanding == 0, toldCount != answeredCount else { return nil }
        toldCount += 1
        return tags[(toldCount - 1) % capacity]
    }
}
