import Glibc
import Platform
import TestTraits
import Testing

@Suite("The data arena", .blocks)
struct DataArenaTests {
    private let page = DataArena.pageByteCount

    @Test("extents are whole pages, aligned, and do not overlap")
    func allocation() throws {
        let arena = try DataArena(byteCount: 8 * page)
        let first = try #require(arena.allocate(byteCount: 1))
        let second = try #require(arena.allocate(byteCount: page + 1))
        #expect(first.count == page)
        #expect(second.count == 2 * page)
        #expect((second.baseAddress! - arena.base) % page == 0)
        #expect(first.baseAddress! + first.count <= second.baseAddress!)
        second.initializeMemory(as: UInt8.self, repeating: 7)
        #expect(second.last == 7)
    }

    @Test("a full arena says so, and freed pages join again")
    func exhaustion() throws {
        let arena = try DataArena(byteCount: 4 * page)
        let extents = (0..<4).compactMap { _ in arena.allocate(byteCount: page) }
        #expect(extents.count == 4)
        #expect(arena.allocate(byteCount: 1) == nil)
        arena.free(extents[1])
        arena.free(extents[2])
        #expect(arena.allocate(byteCount: 3 * page) == nil)
        #expect(arena.allocate(byteCount: 2 * page) != nil)
    }

    /// Bytes of memory behind an arena.
    private func memory(of arena: DataArena) -> Int {
        var information = stat()
        fstat(arena.descriptor, &information)
        return Int(information.st_blocks) * 512
    }

    @Test("pages that stay free lose their memory, and no others do")
    func trimming() throws {
        let arena = try DataArena(byteCount: 256 * page)
        let extents = (0..<4).compactMap { _ in arena.allocate(byteCount: 40 * page) }
        for extent in extents { extent.initializeMemory(as: UInt8.self, repeating: 7) }
        #expect(memory(of: arena) == 160 * page)
        arena.free(extents[0])
        arena.free(extents[2])
        arena.trim(age: 3)
        arena.trim(age: 3)
        #expect(memory(of: arena) == 160 * page)
        // What was in use meanwhile is young again.
        let again = try #require(arena.allocate(byteCount: 40 * page))
        #expect(again.baseAddress == extents[0].baseAddress)
        arena.free(again)
        arena.trim(age: 3)
        #expect(memory(of: arena) == 120 * page)
        #expect(extents[1].allSatisfy { $0 == 7 } && extents[3].allSatisfy { $0 == 7 })
        arena.free(extents[1])
        arena.free(extents[3])
        arena.trim(age: 1)
        #expect(memory(of: arena) == 0)
        #expect(arena.allocate(byteCount: 256 * page) != nil)
    }
}

@Suite("The ring", .blocks)
struct RingTests {
    @Test("hands elements out in order across the wrap")
    func order() {
        var ring = Ring<UInt16>(minimumCapacity: 3)
        defer { ring.deallocate() }
        var expected: [UInt16] = []
        var taken: [UInt16] = []
        for value in UInt16(0)..<50 {
            ring.append(value)
            expected.append(value)
            if ring.count == 4 {
                while let next = ring.popFirst() { taken.append(next) }
            }
        }
        while let next = ring.popFirst() { taken.append(next) }
        #expect(taken == expected)
        #expect(ring.isEmpty)
    }

    @Test("traps when it overflows")
    func overflow() async {
        await #expect(processExitsWith: .failure) {
            var ring = Ring<UInt16>(minimumCapacity: 2)
            for value in UInt16(0)..<3 { ring.append(value) }
        }
    }
}
