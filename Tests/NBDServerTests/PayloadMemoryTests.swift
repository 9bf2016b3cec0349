import Glibc
import Platform
import TestSupport
import TestTraits
import Testing

@testable import NBDServer

/// Payload memory and who gets it, without sockets.
@Suite("Payload memory", .blocks)
struct PayloadMemoryTests {
    private static let page = DataArena.pageByteCount
    private static let largest = PayloadChunks.largestByteCount

    /// A connection's chunks, and its eventfd.
    private final class Client {
        let wakeup: EventFD
        private var chunks: PayloadChunks

        init(_ arena: DataArena, _ memory: PayloadMemory) throws {
            wakeup = try EventFD()
            chunks = PayloadChunks(arena: arena, memory: memory, wakeup: wakeup)
        }

        func claim(_ byteCount: Int) -> Int? { chunks.claim(byteCount: byteCount) }
        func release(_ chunk: Int) { chunks.release(chunk) }
        func stopWaiting() { chunks.stopWaiting() }
        func giveUp() { chunks.removeAll() }
        func byteCount(of chunk: Int) -> Int { chunks.extent(chunk).count }
        var isWaiting: Bool { chunks.isWaiting }
        var sharedByteCount: Int { chunks.sharedByteCount }

        /// Whether it was woken since the last look.
        var wasWoken: Bool {
            var polled = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&polled, 1, 0) == 1 else { return false }
            wakeup.clear()
            return true
        }
    }

    @Test("who waits is served in turn, and small claims do not overtake a large one")
    func firstComeFirstServed() throws {
        let arena = try DataArena(byteCount: 1 << 30)
        let memory = PayloadMemory(byteCountMax: Self.largest)
        let holder = try Client(arena, memory)
        let clients = try (0..<4).map { _ in try Client(arena, memory) }
        let held = try #require(holder.claim(Self.largest))
        for index in clients.indices {
            #expect(clients[index].claim(Self.largest) == nil)
            #expect(clients[index].isWaiting)
        }
        // One of them leaves; what comes later and is small waits behind the others.
        clients[1].giveUp()
        holder.release(held)
        #expect(holder.claim(2 << 20) == nil)
        for index in [0, 2, 3] {
            #expect(clients[index].wasWoken)
            let chunk = try #require(clients[index].claim(Self.largest))
            for other in clients.indices where other != index { #expect(!clients[other].wasWoken) }
            clients[index].release(chunk)
        }
        #expect(holder.wasWoken)
        #expect(holder.claim(2 << 20) != nil)
        #expect(memory.waiterCount() == 0)
    }

    @Test("two ordinary chunks are always there")
    func ownChunks() throws {
        let arena = try DataArena(byteCount: 1 << 30)
        let memory = PayloadMemory(byteCountMax: Self.largest)
        let greedy = try Client(arena, memory)
        _ = try #require(greedy.claim(Self.largest))
        let modest = try Client(arena, memory)
        let first = try #require(modest.claim(1))
        _ = try #require(modest.claim(PayloadChunks.chunkByteCount))
        #expect(modest.claim(1) == nil)
        #expect(modest.isWaiting)
        modest.release(first)
        #expect(modest.claim(1) != nil)
        #expect(!modest.isWaiting)
        #expect(modest.sharedByteCount == 0)
    }

    /// Any claims and returns, until everything is given back: then all of it can be claimed again.
    @Test("nothing gets lost", arguments: 1...20)
    func randomClaims(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let arena = try DataArena(byteCount: 2 << 30)
        let memory = PayloadMemory(byteCountMax: 3 * Self.largest)
        let clients = try (0..<6).map { _ in try Client(arena, memory) }
        var held: [[Int]] = Array(repeating: [], count: clients.count)
        for _ in 0..<2000 {
            let index = Int.random(in: clients.indices, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0..<3:
                let isLarge = Bool.random(using: &random)
                let byteCount = Int.random(in: 1...(isLarge ? Self.largest : 1 << 20), using: &random)
                if let chunk = clients[index].claim(byteCount) {
                    #expect(clients[index].byteCount(of: chunk) >= byteCount, "seed \(seed)")
                    held[index].append(chunk)
                }
            case 3: clients[index].stopWaiting()
            default: if let chunk = held[index].popLast() { clients[index].release(chunk) }
            }
        }
        for index in clients.indices { clients[index].giveUp() }
        for index in 0..<3 {
            #expect(clients[index].claim(Self.largest) != nil, "seed \(seed)")
        }
        #expect(clients[3].claim(Self.largest) == nil)
        #expect(arena.allocate(byteCount: (2 << 30) - 3 * Self.largest) != nil, "seed \(seed)")
    }
}
