/// The requests that are under way, by tag. Those that found no free operation wait here, oldest first.
struct RequestTable: BitwiseCopyable {
    private let requests: UnsafeMutablePointer<PlannerRequest>
    private let capacity: Int
    /// A ring of tags.
    private let starved: UnsafeMutablePointer<UInt32>
    /// How many requests have waited, and how many of these have been served.
    private var starvedCount = 0
    private var servedCount = 0

    /// - Parameter capacity: tags are below it.
    init(capacity: Int) {
        self.capacity = capacity
        requests = .allocate(capacity: capacity)
        requests.initialize(repeating: PlannerRequest(ArrayRequest(.flush, tag: 0)), count: capacity)
        starved = .allocate(capacity: capacity)
    }

    func deallocate() {
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
}
