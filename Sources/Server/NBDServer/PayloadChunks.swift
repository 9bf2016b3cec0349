import NBDProtocol
import Platform

/// A connection's payload memory: extents of the data arena. Each is filled from the front, and freed with its last
/// reference.
///
/// Ordinary chunks have one size and hold many requests. Two of them are the connection's own, one for its window and
/// one for reads, so that requests up to 1 MiB never wait for others' memory. Further ordinary chunks, and the chunk of
/// each large request, come from `PayloadMemory`, which all connections share.
///
/// Threads: under the connection's lock.
struct PayloadChunks {
    /// Bytes of an ordinary chunk: a page for alignment, and a request of 1 MiB.
    static let chunkByteCount = (1 << 20) + DataArena.pageByteCount
    /// Bytes of a chunk for the largest request, with the page that precedes its payload.
    static let largestByteCount = Int(NBD.payloadByteCountMax) + DataArena.pageByteCount
    /// Ordinary chunks that are the connection's own.
    private static let ownCountMax = 2
    /// The most shared bytes of one connection: two of the largest requests fit.
    private static let sharedByteCountMax = 72 << 20

    private struct Chunk {
        var extent: UnsafeMutableRawBufferPointer
        var references = 0
    }

    private let arena: DataArena
    private let memory: PayloadMemory
    private let turn: MemoryTurn
    private var chunks: [Chunk?] = []
    private var ownCount = 0
    private var sharedOrdinaryCount = 0
    /// Bytes of `PayloadMemory` that this connection uses.
    private(set) var sharedByteCount = 0
    /// Whether the connection is in the queue for memory, or was granted memory there and has not fetched it.
    private(set) var isWaiting = false
    /// The chunk for read data, and the bytes of it that are in use. The index is -1 for none.
    private var readChunk = (index: -1, used: 0)

    /// - Parameter wakeup: signalled when `claim` could not give memory at once and the memory has become available.
    init(arena: DataArena, memory: PayloadMemory, wakeup: EventFD) {
        self.arena = arena
        self.memory = memory
        turn = MemoryTurn(arena: arena, wakeup: wakeup)
    }

    /// Whether one of the connection's own chunks is unclaimed.
    var hasOwn: Bool { ownCount < Self.ownCountMax }

    /// Claims memory for read data: a chunk of its own for a large read, otherwise the next part of the read chunk. The
    /// caller gets one reference to the chunk.
    /// - Returns: nil when there is no memory now, as `claim`.
    mutating func claimForRead(byteCount: Int) -> (chunk: Int, memory: UnsafeMutableRawPointer)? {
        let needed = (byteCount + 4095) & ~4095
        if needed > Self.chunkByteCount {
            return claim(byteCount: needed).map { ($0, extent($0).baseAddress!) }
        }
        if readChunk.index >= 0 {
            if isExclusive(readChunk.index) { readChunk.used = 0 }
            if readChunk.used + needed > Self.chunkByteCount { dropReadChunk() }
        }
        if readChunk.index < 0 {
            guard let index = claim(byteCount: needed) else { return nil }
            readChunk = (index, 0)
        }
        // An earlier attempt may have queued for memory that is no longer needed.
        stopWaiting()
        retain(readChunk.index)
        defer { readChunk.used += needed }
        return (readChunk.index, extent(readChunk.index).baseAddress! + readChunk.used)
    }

    private mutating func dropReadChunk() {
        release(readChunk.index)
        readChunk.index = -1
    }

    /// Claims a chunk of at least that many bytes. The caller gets one reference. An idle read chunk is given up before
    /// shared memory is claimed.
    ///
    /// - Returns: the chunk's index, or nil when there is no memory now. In that case the eventfd is signalled when
    ///   another attempt is worthwhile: others have freed enough, or one of the connection's own requests has ended.
    mutating func claim(byteCount: Int) -> Int? {
        if readChunk.index >= 0, !hasOwn, isExclusive(readChunk.index) { dropReadChunk() }
        let pages = (byteCount + DataArena.pageByteCount - 1) / DataArena.pageByteCount
        let wanted = max(pages * DataArena.pageByteCount, Self.chunkByteCount)
        let isOrdinary = wanted == Self.chunkByteCount
        if isOrdinary, hasOwn, let extent = arena.allocate(byteCount: wanted) {
            ownCount += 1
            stopWaiting()
            return add(extent)
        }
        guard sharedByteCount + wanted <= Self.sharedByteCountMax else { return nil }
        guard let extent = memory.claim(byteCount: wanted, turn) else {
            isWaiting = true
            return nil
        }
        isWaiting = false
        sharedByteCount += wanted
        if isOrdinary { sharedOrdinaryCount += 1 }
        return add(extent)
    }

    /// Leaves the queue for memory, and gives back memory that was granted there and not fetched.
    mutating func stopWaiting() {
        if isWaiting { memory.withdraw(turn) }
        isWaiting = false
    }

    mutating func retain(_ index: Int) { chunks[index]!.references += 1 }

    /// Drops a reference; the last one gives the chunk back.
    mutating func release(_ index: Int) {
        chunks[index]!.references -= 1
        if chunks[index]!.references == 0 { giveBack(index) }
    }

    /// Whether the caller's reference is the only one.
    func isExclusive(_ index: Int) -> Bool { chunks[index]!.references == 1 }

    /// Whether the chunk belongs to one large request.
    func isLarge(_ index: Int) -> Bool { chunks[index]!.extent.count > Self.chunkByteCount }

    func extent(_ index: Int) -> UnsafeMutableRawBufferPointer { chunks[index]!.extent }

    /// Frees all chunks. No request may be under way: its chunk would have another reference.
    mutating func removeAll() {
        stopWaiting()
        for index in chunks.indices where chunks[index] != nil {
            precondition(isExclusive(index), "a connection ended, and a request of it has not")
            giveBack(index)
        }
    }

    private mutating func add(_ extent: UnsafeMutableRawBufferPointer) -> Int {
        let chunk = Chunk(extent: extent, references: 1)
        if let index = chunks.firstIndex(where: { $0 == nil }) {
            chunks[index] = chunk
            return index
        }
        chunks.append(chunk)
        return chunks.count - 1
    }

    private mutating func giveBack(_ index: Int) {
        let isOrdinary = !isLarge(index)
        let byteCount = chunks[index]!.extent.count
        arena.free(chunks[index]!.extent)
        chunks[index] = nil
        // Only the number of shared chunks counts, not which they are. Shared chunks go first, so the connection keeps
        // its own the longest.
        if isOrdinary && sharedOrdinaryCount == 0 {
            ownCount -= 1
        } else {
            if isOrdinary { sharedOrdinaryCount -= 1 }
            sharedByteCount -= byteCount
            memory.release(byteCount: byteCount)
        }
    }
}
