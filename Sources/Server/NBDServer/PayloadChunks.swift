import NBDProtocol
import Platform

/// A connection's payload memory: extents of the data arena that are filled from the front and given back when nothing
/// in them is needed any more.
///
/// Ordinary chunks have one size and hold many requests. The first two are the connection's own, and always there: one
/// for its window and one for reads, so that requests up to 1 MiB never wait for others' memory. More of them, and
/// chunks for one large request each, are `PayloadMemory` that all connections share.
///
/// Threads: under the connection's lock.
struct PayloadChunks {
    /// Bytes of an ordinary chunk: a page for alignment, and a request of 1 MiB.
    static let chunkByteCount = (1 << 20) + DataArena.pageByteCount
    /// Bytes of a chunk for the largest request, and what precedes its payload.
    static let largestByteCount = Int(NBD.payloadByteCountMax) + DataArena.pageByteCount
    /// Ordinary chunks that are not shared.
    private static let ownCountMax = 2
    /// Shared bytes that a connection has at most. Two of the largest requests fit.
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
    /// Bytes of `PayloadMemory` in use.
    private(set) var sharedByteCount = 0
    /// The connection is in the queue, or was served there meanwhile.
    private(set) var isWaiting = false

    /// - Parameter bell: rings when memory is there that could not be had at once.
    init(arena: DataArena, memory: PayloadMemory, bell: Bell) {
        self.arena = arena
        self.memory = memory
        turn = MemoryTurn(arena: arena, bell: bell)
    }

    /// Whether an ordinary chunk can be had that is the connection's own.
    var hasOwn: Bool { ownCount < Self.ownCountMax }

    /// A chunk of at least that size with one reference.
    ///
    /// Nil when there is none now. The bell rings when it may be worth trying again: when others have given back enough,
    /// or one of the connection's own requests has ended.
    mutating func claim(byteCount: Int) -> Int? {
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

    /// Gives up what `claim` could not give at once.
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

    /// Whether the chunk is one request's.
    func isLarge(_ index: Int) -> Bool { chunks[index]!.extent.count > Self.chunkByteCount }

    func extent(_ index: Int) -> UnsafeMutableRawBufferPointer { chunks[index]!.extent }

    /// Gives everything back. No request may be under way: its chunk has a reference more than the connection's own.
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
        // Which chunk is shared does not matter, only how many: the connection keeps its own to the last.
        if isOrdinary && sharedOrdinaryCount == 0 {
            ownCount -= 1
        } else {
            if isOrdinary { sharedOrdinaryCount -= 1 }
            sharedByteCount -= byteCount
            memory.release(byteCount: byteCount)
        }
    }
}
