import Glibc
import Platform

/// The payload memory that connections share: what they need beyond the chunks that each has for itself. Whoever finds
/// too little of it waits in one queue, first come, first served.
///
/// Nobody waits for ever. A piece of this memory is claimed whole, for one request. The request then needs no more
/// memory to end: a write waits for the rest of its payload, which is received into the piece; a complete request waits
/// for the device, and then for its client to take the reply. Members end every I/O, and `Connection.isStalled` ends
/// connections whose clients keep a piece without moving bytes while others wait. So every piece comes back, the first
/// of the queue is served after a bounded time, and by induction each one is. Who waits keeps nothing that others wait
/// for, but the pieces of requests that end by themselves: a connection's own chunks are not counted here, and a window
/// gives a shared piece away together with the request for which it was claimed. What a turn was given is fetched at
/// once: a connection in the queue sleeps only where its bell wakes it, and leaves replies that its client does not take
/// to `StalledWriters`; one that needs the memory no more leaves the queue before it sleeps elsewhere.
///
/// Threads: any; its lock is the last that is taken before the arena's.
final class PayloadMemory: @unchecked Sendable {
    // SAFETY: touched only under `lock`, as are the turns.
    private let lock = Lock()
    private let byteCountMax: Int
    private var byteCount = 0
    private var queue: [MemoryTurn] = []

    /// - Parameter byteCountMax: bytes in use at most; at least one of the largest requests is possible.
    init(byteCountMax: Int) { self.byteCountMax = max(byteCountMax, PayloadChunks.largestByteCount) }

    /// A quarter of the machine's memory, at most 4 GiB, and an eighth of the arena, so that fragments never matter.
    static func defaultByteCountMax(arenaByteCount: Int) -> Int {
        min(4 << 30, sysconf(Int32(_SC_PHYS_PAGES)) / 4 * sysconf(Int32(_SC_PAGESIZE)), arenaByteCount / 8)
    }

    /// Memory for a request, or nil, and then the connection is in the queue: its bell rings when the memory is there,
    /// and the same call returns it.
    /// - Parameter wanted: bytes, whole pages of the arena.
    func claim(byteCount wanted: Int, _ turn: MemoryTurn) -> UnsafeMutableRawBufferPointer? {
        lock.withLock {
            if let extent = turn.extent, extent.count != wanted { takeBack(extent, turn) }
            if turn.extent == nil {
                if turn.wanted == 0 { queue.append(turn) }
                turn.wanted = wanted
                serve(calledBy: turn)
            }
            defer { turn.extent = nil }
            return turn.extent
        }
    }

    /// Leaves the queue, or gives back what was not fetched.
    func withdraw(_ turn: MemoryTurn) {
        lock.withLock {
            if turn.wanted > 0 {
                turn.wanted = 0
                queue.removeAll { $0 === turn }
            }
            if let extent = turn.extent { takeBack(extent, turn) }
            serve(calledBy: nil)
        }
    }

    /// Counts memory that was claimed as free. The caller has given it back to the arena.
    func release(byteCount released: Int) {
        lock.withLock {
            byteCount -= released
            serve(calledBy: nil)
        }
    }

    /// How many connections are in the queue. Looks whether the first can be served: a fragmented arena may have joined
    /// again.
    func waiterCount() -> Int {
        lock.withLock {
            serve(calledBy: nil)
            return queue.count
        }
    }

    private func takeBack(_ extent: UnsafeMutableRawBufferPointer, _ turn: MemoryTurn) {
        byteCount -= extent.count
        turn.arena.free(extent)
        turn.extent = nil
    }

    /// Gives memory to the first of the queue while there is enough.
    private func serve(calledBy caller: MemoryTurn?) {
        while let first = queue.first, byteCount + first.wanted <= byteCountMax,
            let extent = first.arena.allocate(byteCount: first.wanted)
        {
            queue.removeFirst()
            byteCount += extent.count
            first.wanted = 0
            first.extent = extent
            if first !== caller { first.bell.ring() }
        }
    }
}

/// A connection's place in the queue for payload memory, and what it was given there.
///
/// Threads: under the lock of `PayloadMemory`.
final class MemoryTurn: @unchecked Sendable {
    // SAFETY: the variables are touched only under the lock of `PayloadMemory`.
    fileprivate let arena: DataArena
    fileprivate let bell: Bell
    /// Bytes that the connection waits for; 0 when it is not in the queue.
    fileprivate var wanted = 0
    /// What it was given and has not fetched yet.
    fileprivate var extent: UnsafeMutableRawBufferPointer?

    init(arena: DataArena, bell: Bell) {
        self.arena = arena
        self.bell = bell
    }
}
