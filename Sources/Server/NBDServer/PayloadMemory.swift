import Glibc
import Platform

/// The payload memory that connections share: what they need beyond their own chunks. A connection that finds too
/// little of it waits in one queue, first come, first served.
///
/// No connection waits for ever. Memory is claimed whole, for one request, which then needs no more memory to end. A
/// write waits for the rest of its payload, which is received into that memory. A complete request waits for the
/// device, and then for its client to take the reply. Members end every I/O, and `Connection.isStalled` ends
/// connections whose clients keep memory without moving bytes while others wait. So all memory comes back, the first in
/// the queue is served after a bounded time, and by induction every other is too.
///
/// A waiting connection holds no shared memory, except that of requests that end by themselves: its own chunks are not
/// counted here, and its window gives up a shared chunk together with the request for which the chunk was claimed.
/// Granted memory is fetched at once: a connection in the queue sleeps only where its eventfd wakes it, and leaves
/// replies that its client does not take to `SlowClients`. A connection that no longer needs the memory leaves the
/// queue before it sleeps elsewhere.
///
/// Threads: any. Its lock is the last that is taken before the arena's.
final class PayloadMemory: @unchecked Sendable {
    // SAFETY: touched only under `lock`, as are the turns.
    private let lock = Lock()
    private let byteCountMax: Int
    private var byteCount = 0
    private var queue: [MemoryTurn] = []

    /// - Parameter byteCountMax: the most bytes in use; raised to the largest request if it is less.
    init(byteCountMax: Int) { self.byteCountMax = max(byteCountMax, PayloadChunks.largestByteCount) }

    /// A quarter of the machine's memory, but at most 4 GiB and at most an eighth of the arena, so that fragmentation
    /// does not matter.
    static func defaultByteCountMax(arenaByteCount: Int) -> Int {
        min(4 << 30, sysconf(Int32(_SC_PHYS_PAGES)) / 4 * sysconf(Int32(_SC_PAGESIZE)), arenaByteCount / 8)
    }

    /// Claims memory for a request. If there is too little, the connection enters the queue. Its eventfd is signalled
    /// when the memory is granted, and then the same call returns it.
    /// - Parameter wanted: bytes, whole pages of the arena.
    /// - Returns: nil when the connection is in the queue.
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

    /// Leaves the queue, or gives back memory that was granted and not fetched.
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

    /// The number of connections in the queue. Serves the first ones if it can: freed parts of the arena may have
    /// joined since the last attempt.
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

    /// Grants memory from the front of the queue while there is enough, and rings the bells of those served, except the
    /// caller's.
    private func serve(calledBy caller: MemoryTurn?) {
        while let first = queue.first, byteCount + first.wanted <= byteCountMax,
            let extent = first.arena.allocate(byteCount: first.wanted)
        {
            queue.removeFirst()
            byteCount += extent.count
            first.wanted = 0
            first.extent = extent
            if first !== caller { first.wakeup.signal() }
        }
    }
}

/// A connection's place in the queue for payload memory, and the memory that was granted there.
///
/// Threads: under the lock of `PayloadMemory`.
final class MemoryTurn: @unchecked Sendable {
    // SAFETY: the variables are touched only under the lock of `PayloadMemory`.
    fileprivate let arena: DataArena
    fileprivate let wakeup: EventFD
    /// Bytes that the connection waits for; 0 when it is not in the queue.
    fileprivate var wanted = 0
    /// Memory that was granted and not fetched yet.
    fileprivate var extent: UnsafeMutableRawBufferPointer?

    init(arena: DataArena, wakeup: EventFD) {
        self.arena = arena
        self.wakeup = wakeup
    }
}
