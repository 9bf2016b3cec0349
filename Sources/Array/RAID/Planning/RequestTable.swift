import MDFormat
import MemberIO

/// The requests that are under way, by tag, until they end. Those that found no free operation wait here, oldest first.
struct RequestTable {
    private let geometry: ArrayGeometry
    private let requests: UnsafeMutablePointer<PlannerRequest>
    private let capacity: Int
    /// Flushes that end requests.
    private var flushes: FlushRounds
    /// A ring of tags.
    private let starved: UnsafeMutablePointer<UInt32>
    /// How many requests have waited, and how many of these have been served.
    private var starvedCount = 0
    private var servedCount = 0

    /// - Parameter capacity: tags are below it.
    init(geometry: ArrayGeometry, capacity: Int) {
        self.geometry = geometry
        self.capacity = capacity
        flushes = FlushRounds(geometry: geometry, requestCapacity: capacity)
        requests = .allocate(capacity: capacity)
        requests.initialize(repeating: PlannerRequest(ArrayRequest(.flush, tag: 0)), count: capacity)
        starved = .allocate(capacity: capacity)
    }

    func deallocate() {
        flushes.deallocate()
        requests.deallocate()
        starved.deallocate()
    }

    /// The request with a tag.
    subscript(tag: UInt32) -> UnsafeMutablePointer<PlannerRequest> {
        assert(tag < capacity, "the tag is too large")
        return requests + Int(tag)
    }

    /// Takes a request.
    func begin(_ request: ArrayRequest) {
        precondition(request.tag < capacity, "the tag is too large")
        self[request.tag].pointee = PlannerRequest(request)
    }

    // MARK: Requests that find no free operation

    /// Whether requests wait for a free operation.
    var hasStarved: Bool { servedCount != starvedCount }

    /// The tag of the request that has waited longest, or nil.
    var firstStarved: UInt32? { hasStarved ? starved[servedCount % capacity] : nil }

    /// Lets a request wait for free operations.
    mutating func starve(_ tag: UInt32) {
        precondition(starvedCount - servedCount < capacity, "each request waits once")
        starved[starvedCount % capacity] = tag
        starvedCount += 1
    }

    /// Takes note that all of the request that waited longest has operations.
    mutating func serveFirst() {
        precondition(hasStarved, "no request waits")
        assert(self[starved[servedCount % capacity]].pointee.isExpanded, "a request has not got all its operations")
        servedCount += 1
    }

    // MARK: Requests without operations

    /// Emits the member I/Os of a request to a RAID 0 array.
    mutating func emit(_ tag: UInt32, _ members: inout PlannedMembers, into output: inout PlannerOutput) {
        let striped = StripedRequest(geometry: geometry, request: self[tag].pointee.request)
        self[tag].pointee.remaining += striped.emit(into: &output)
        endExpansion(tag, &members, into: &output)
    }

    /// Takes the outcome of a member I/O of such a request.
    mutating func completeIO(
        _ tag: UInt32, _ status: MemberStatus, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        let part: ArrayStatus =
            switch status {
            case .done: .done
            case .noSpace: .noSpace
            case .refused: .refused
            case .unreadable, .failed: .failed
            }
        end(part: part, of: tag, &members, into: &output)
    }

    // MARK: Ends

    /// Ends a part of a request: an operation, a member I/O or a flush.
    mutating func end(
        part status: ArrayStatus, of tag: UInt32, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        let request = self[tag]
        assert(request.pointee.remaining > 0, "nothing of the request is under way")
        request.pointee.remaining -= 1
        request.pointee.status = request.pointee.status.combined(with: status)
        if request.pointee.isOver { finish(tag, &members, into: &output) }
    }

    /// Notes that a request gets no more operations or member I/Os.
    mutating func endExpansion(_ tag: UInt32, _ members: inout PlannedMembers, into output: inout PlannerOutput) {
        self[tag].pointee.endExpansion()
        if self[tag].pointee.isOver { finish(tag, &members, into: &output) }
    }

    /// Ends a request of which nothing is left, after a flush if it must be durable. A request that ends in a failed
    /// array has failed, whatever its I/Os did.
    private mutating func finish(_ tag: UInt32, _ members: inout PlannedMembers, into output: inout PlannerOutput) {
        let request = self[tag]
        assert(request.pointee.isOver, "a request ends with parts under way")
        if members.state == .failed { request.pointee.status = .failed }
        let mustFlush = request.pointee.request.forceUnitAccess && request.pointee.request.operation != .read
        if mustFlush && !request.pointee.isFlushing && request.pointee.status == .done {
            flush(tag, &members, into: &output)
        } else {
            output.finished.append(FinishedRequest(tag: tag, status: request.pointee.status))
        }
    }

    // MARK: Flushes

    /// Ends a request, which has nothing else under way, with a flush that begins from now on.
    mutating func flush(_ tag: UInt32, _ members: inout PlannedMembers, into output: inout PlannerOutput) {
        let request = self[tag]
        assert(!request.pointee.isFlushing && request.pointee.remaining == 0, "a request flushes once, at its end")
        request.pointee.endExpansion()
        request.pointee.isFlushing = true
        request.pointee.remaining += 1
        flushes.append(tag)
        beginRound(&members, into: &output)
    }

    /// Takes the outcome of a member's flush.
    mutating func completeFlush(
        _ status: MemberStatus, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        guard flushes.complete(status, &members) else { return }
        answerFlushes(&members, into: &output)
        beginRound(&members, into: &output)
    }

    private mutating func beginRound(_ members: inout PlannedMembers, into output: inout PlannerOutput) {
        guard flushes.canBegin, flushes.begin(&members, into: &output) else { return }
        answerFlushes(&members, into: &output)
    }

    private mutating func answerFlushes(_ members: inout PlannedMembers, into output: inout PlannerOutput) {
        while let tag = flushes.takeAnswered() {
            assert(self[tag].pointee.isFlushing, "a request is answered that wants no flush")
            end(part: flushes.status, of: tag, &members, into: &output)
        }
    }
}
