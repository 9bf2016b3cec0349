import Platform

/// A connection's payload memory: extents of the data arena that are filled from the front and reused when nothing in
/// them is needed any more.
///
/// Threads: under the connection's lock.
struct PayloadChunks {
    /// Bytes of an ordinary chunk: a page for alignment, and a request of 1 MiB.
    static let chunkByteCount = (1 << 20) + DataArena.pageByteCount
    /// Bytes that a connection has at most. Two of the largest requests fit.
    private static let byteCountMax = 72 << 20
    /// Idle chunks that are kept rather than given back.
    private static let idleCountMax = 4

    private struct Chunk {
        var extent: UnsafeMutableRawBufferPointer
        var references = 0
    }

    private let arena: DataArena
    private var chunks: [Chunk?] = []
    private var idle: [Int] = []
    private var byteCount = 0

    init(arena: DataArena) { self.arena = arena }

    /// A chunk of at least that size with one reference, or nil when the connection or the arena has no more.
    mutating func claim(byteCount wanted: Int) -> Int? {
        if wanted <= Self.chunkByteCount, let index = idle.popLast() {
            chunks[index]!.references = 1
            return index
        }
        let wanted = max(wanted, Self.chunkByteCount)
        guard byteCount + wanted <= Self.byteCountMax, let extent = arena.allocate(byteCount: wanted) else {
            return nil
        }
        byteCount += extent.count
        let chunk = Chunk(extent: extent, references: 1)
        if let index = chunks.firstIndex(where: { $0 == nil }) {
            chunks[index] = chunk
            return index
        }
        chunks.append(chunk)
        return chunks.count - 1
    }

    mutating func retain(_ index: Int) { chunks[index]!.references += 1 }

    /// Drops a reference; the last one makes the chunk idle.
    mutating func release(_ index: Int) {
        chunks[index]!.references -= 1
        guard chunks[index]!.references == 0 else { return }
        if idle.count < Self.idleCountMax && chunks[index]!.extent.count == Self.ordinaryByteCount {
            idle.append(index)
        } else {
            giveBack(index)
        }
    }

    /// Whether the caller's reference is the only one.
    func isExclusive(_ index: Int) -> Bool { chunks[index]!.references == 1 }

    func extent(_ index: Int) -> UnsafeMutableRawBufferPointer { chunks[index]!.extent }

    /// Gives everything back. Nothing may be in use.
    mutating func removeAll() {
        for index in chunks.indices where chunks[index] != nil { giveBack(index) }
        idle = []
    }

    private static let ordinaryByteCount =
        (chunkByteCount + DataArena.pageByteCount - 1) / DataArena.pageByteCount * DataArena.pageByteCount

    private mutating func giveBack(_ index: Int) {
        byteCount -= chunks[index]!.extent.count
        arena.free(chunks[index]!.extent)
        chunks[index] = nil
    }
}
