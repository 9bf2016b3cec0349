import Platform

/// What is to be known of a block device before it is used.
package struct BlockServiceInfo: Sendable {
    package var name: String
    /// One line for people: "RAID 5, 4 members, 64 KiB chunks".
    package var description: String
    package var byteCount: UInt64
    /// Requests that are multiples of this avoid deblocking (bytes).
    package var blockByteCount: Int
    /// The size and alignment that the device likes (bytes, a power of two).
    package var preferredByteCount: Int
    package var isReadOnly: Bool
    package var supportsTrim: Bool

    package init(
        name: String, description: String, byteCount: UInt64, blockByteCount: Int, preferredByteCount: Int,
        isReadOnly: Bool, supportsTrim: Bool
    ) {
        self.name = name
        self.description = description
        self.byteCount = byteCount
        self.blockByteCount = blockByteCount
        self.preferredByteCount = preferredByteCount
        self.isReadOnly = isReadOnly
        self.supportsTrim = supportsTrim
    }
}

/// Receives the outcomes of the requests of one lane.
package protocol BlockCompletionReceiver: AnyObject, Sendable {
    /// Called once for each batch of completions, on any thread (often inside `submit`, often on another lane's
    /// thread, sometimes on two threads at once). It must not block: a slow client must not hold up others.
    func completed(_ completions: UnsafeBufferPointer<BlockCompletion>)
}

/// A block device that requests can be sent to, in batches, from many threads.
package protocol BlockService: AnyObject, Sendable {
    var info: BlockServiceInfo { get }
    /// Where request buffers must lie.
    var arena: DataArena { get }
    /// Makes a lane for the calling thread, which brings requests and lends its time to the device.
    func makeLane(receiver: any BlockCompletionReceiver) throws -> any BlockLane
}

/// One thread's way into a block service. Used by one thread at a time.
package protocol BlockLane: AnyObject {
    /// How many requests may be outstanding on this lane; tags are below it.
    var requestCapacity: Int { get }

    /// Starts a batch and does all work that needs no waiting, for this lane and for what others left.
    /// Completions arrive at the receiver, possibly before this returns.
    func submit(_ requests: UnsafeBufferPointer<BlockRequest>)

    /// Whether member I/O started on this lane is outstanding. While it is, the thread must not block anywhere
    /// but in `wait`, since nobody else can finish that I/O.
    var hasOutstandingWork: Bool { get }

    /// Blocks until I/O of this lane made progress or `descriptor` is readable, and does the work that followed.
    func wait(orReadable descriptor: Int32)

    /// Gives the lane back. Call with no request outstanding.
    func close()
}
