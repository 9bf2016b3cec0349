import Platform

/// The name, size and abilities of a block device.
package struct BlockServiceInfo: Sendable {
    /// The name by which clients choose the device.
    package var name: String
    /// One line for people: "RAID 5, 4 members, 64 KiB chunks".
    package var description: String
    /// Bytes of the device.
    package var byteCount: UInt64
    /// Bytes of a block; requests that are multiples of it avoid deblocking.
    package var blockByteCount: Int
    /// The size and alignment of efficient requests, bytes; a power of two.
    package var preferredByteCount: Int
    /// Writes, trims and zeroing fail with `readOnly`.
    package var isReadOnly: Bool
    /// `trim` is supported.
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

/// The receiver of one lane's outcomes.
package protocol BlockCompletionReceiver: AnyObject, Sendable {
    /// Takes a batch of completions. Called on any thread: often inside `submit`, often on another lane's thread,
    /// sometimes on two threads at once. It must not block, since other clients' requests wait behind it.
    func completed(_ completions: UnsafeBufferPointer<BlockCompletion>)
}

/// A block device that takes requests in batches, from many threads.
package protocol BlockService: AnyObject, Sendable {
    /// The device's name, size and abilities; they do not change.
    var info: BlockServiceInfo { get }
    /// The memory that request buffers must lie in.
    var arena: DataArena { get }
    /// Makes a lane for the calling thread, which brings requests and lends its time to the device.
    /// - Throws: if all lanes are in use or the system is out of resources.
    func makeLane(receiver: any BlockCompletionReceiver) throws -> any BlockLane
}

/// One thread's way into a block service. Used by one thread at a time.
package protocol BlockLane: AnyObject {
    /// The number of requests that may be outstanding on this lane; tags are below it.
    var requestCapacity: Int { get }

    /// The lane's requests, by tag. A request belongs to the thread that uses the lane except between `submit` and its
    /// completion. They exist as long as the lane.
    var requests: UnsafeMutablePointer<BlockRequest> { get }

    /// Starts requests, by tag, and does all work that needs no waiting, including work that other lanes left behind.
    /// Completions go to the receiver, possibly before this returns.
    func submit(_ tags: UnsafeBufferPointer<UInt16>)

    /// Whether member I/O that was started on this lane is outstanding. Then the thread must not block anywhere but in
    /// `wait`, since no other thread can finish that I/O.
    var hasOutstandingWork: Bool { get }

    /// Blocks until I/O of this lane makes progress or `descriptor` is readable, and does the work that follows.
    func wait(orReadable descriptor: Int32)

    /// Gives the lane back. Call it with no request outstanding.
    func close()
}

extension BlockLane {
    /// Writes requests to their places, by their tags, and starts them.
    package func submit(_ batch: UnsafeBufferPointer<BlockRequest>) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: batch.count) { tags in
            for (index, request) in batch.enumerated() {
                precondition(Int(request.tag) < requestCapacity, "a tag is below the lane's capacity")
                requests[Int(request.tag)] = request
                tags[index] = request.tag
            }
            submit(UnsafeBufferPointer(tags))
        }
    }
}
