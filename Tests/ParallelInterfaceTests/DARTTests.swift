import HardwareBus
import Platform
import Synchronization
import Testing

@Suite("The DART", .blocks)
struct DARTTests {
    /// Memory that says when it is given back.
    private final class Block: Sendable {
        nonisolated(unsafe) let memory: UnsafeMutableRawPointer
        let byteCount: Int
        private let liveCount: Counter

        init(byteCount: Int, counted: Counter) {
            memory = .allocate(byteCount: byteCount, alignment: 4096)
            self.byteCount = byteCount
            liveCount = counted
            counted.value.add(1, ordering: .relaxed)
        }

        deinit {
            memory.deallocate()
            liveCount.value.subtract(1, ordering: .relaxed)
        }
    }

    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
        var count: Int { value.load(ordering: .relaxed) }
    }

    /// The memory that a command with this address would get.
    private func memory(_ dart: DART, _ address: UInt64, _ byteCount: Int, deviceWrites: Bool = false)
        -> UnsafeMutableRawPointer?
    {
        guard let pin = dart.pin(address) else { return nil }
        return pin.memory(byteCount: byteCount, deviceWrites: deviceWrites)
    }

    @Test("translates what is mapped and nothing else")
    func translation() throws {
        let dart = DART(windowCount: 4, reservedCount: 2)
        let block = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { block.deallocate() }
        let address = try #require(dart.map(window: 1, memory: block, byteCount: 8192, deviceMayWrite: false))
        #expect(memory(dart, address, 8192) == block)
        #expect(memory(dart, address + 4096, 4096) == block + 4096)
        #expect(memory(dart, address + 4096, 4097) == nil)
        #expect(memory(dart, address + 4096, -1) == nil)
        #expect(memory(dart, address, 1, deviceWrites: true) == nil)
        #expect(memory(dart, 0, 1) == nil)
        #expect(memory(dart, .max, 1) == nil)
        #expect(dart.unmap(window: 1))
        #expect(memory(dart, address, 1) == nil)
    }

    @Test("hands out the windows above the reserved ones, once each")
    func windows() {
        let dart = DART(windowCount: 4, reservedCount: 2)
        #expect(dart.claimWindow() == 2)
        #expect(dart.claimWindow() == 3)
        #expect(dart.claimWindow() == nil)
    }

    @Test("a window does not change while it is pinned, and can be pinned no more when its end was asked for")
    func pinnedWindow() throws {
        let dart = DART(windowCount: 2, reservedCount: 1)
        let counter = Counter()
        var first: Block? = Block(byteCount: 4096, counted: counter)
        let second = Block(byteCount: 8192, counted: counter)
        func map(_ block: Block) -> UInt64? {
            dart.map(window: 1, memory: block.memory, byteCount: block.byteCount, deviceMayWrite: true, owner: block)
        }
        let address = try #require(map(first!))
        #expect(map(second) == nil)
        let pin = dart.pin(address)
        let other = dart.pin(address + 512)
        #expect(dart.isPinned(window: 1) && dart.pinCount(window: 1) == 2)
        #expect(!dart.unmap(window: 1))
        #expect(!dart.unmap(window: 1) && !dart.isFree(window: 1))
        let late = dart.pin(address) != nil
        #expect(!late)
        #expect(map(second) == nil)
        first = nil
        // The card has what it began with.
        let memory = pin?.memory(byteCount: 4096, deviceWrites: true)
        memory?.storeBytes(of: 7, toByteOffset: 4095, as: UInt8.self)
        #expect(memory != nil && counter.count == 2)
        _ = consume pin
        #expect(counter.count == 2 && map(second) == nil)
        _ = consume other
        #expect(counter.count == 1 && dart.isFree(window: 1) && !dart.isPinned(window: 1))
        #expect(map(second) == address)
        #expect(dart.pinCount(window: 1) == 2)
        #expect(dart.unmap(window: 1) && dart.unmap(window: 1))
    }

    /// A driver asks for windows to be mapped while its card takes commands for them.
    @Test("an address leads to one mapping and not to parts of two")
    func windowsThatChange() throws {
        let dart = DART(windowCount: 4, reservedCount: 1)
        let counter = Counter()
        let isOver = OneShotEvent()
        let mapped = Counter()
        let mapper = OneShotEvent()
        try OSThread(name: "mapper") {
            while !isOver.isSet {
                // A new block each time: its memory is gone as soon as nobody may use it.
                let block = Block(byteCount: mapped.count % 2 == 0 ? 4096 : 1 << 20, counted: counter)
                block.memory.storeBytes(of: UInt64(block.byteCount), as: UInt64.self)
                if dart.unmap(window: 2) {
                    _ = dart.map(
                        window: 2, memory: block.memory, byteCount: block.byteCount, deviceMayWrite: true, owner: block)
                    mapped.value.add(1, ordering: .relaxed)
                }
            }
            mapper.set()
        }.detach()
        var largeCount = 0
        while mapped.count < 50_000 || largeCount < 5000 {
            guard let pin = dart.pin(3 << 32) else { continue }
            guard let memory = pin.memory(byteCount: 1 << 20, deviceWrites: true) else {
                #expect(pin.memory(byteCount: 4096, deviceWrites: true) != nil)
                continue
            }
            largeCount += 1
            // Of the block that is so large, and still there.
            guard memory.load(as: UInt64.self) == 1 << 20 else {
                Issue.record("1 MiB was translated to a block of 4 KiB")
                break
            }
            memory.storeBytes(of: 1, toByteOffset: (1 << 20) - 1, as: UInt8.self)
        }
        isOver.set()
        #expect(mapper.comes())
        dart.unmap(window: 2)
        #expect(counter.count == 0)
    }
}
