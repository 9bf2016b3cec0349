import Glibc
import HardwareBus
import SCSIControllerDriverKit
import TestTraits
import Testing

@testable import DriverHost

@Suite("The memory of a driver's own", .blocks)
struct DriverMemoryTests {
    private let dart = DART(windowCount: 4, reservedCount: 2)
    private let memory: DriverMemory

    init() { memory = DriverMemory(function: PCIFunction(dart: dart)) }

    /// - Returns: the block's number, or nil when there is no memory for it.
    private func allocate(_ byteCount: Int) -> UInt64? {
        let answer = memory.answer(.allocateMemory, ControlMessage([UInt64(byteCount)]))
        guard answer.status == kIOReturnSuccess else { return nil }
        close(answer.descriptor)
        return answer[0]
    }

    private func claim() -> UInt64? {
        let answer = memory.answer(.claimWindow, ControlMessage())
        return answer.status == kIOReturnSuccess ? answer[0] : nil
    }

    private func map(_ block: UInt64, window: UInt64) -> UInt64? {
        let answer = memory.answer(.mapMemory, ControlMessage([window, block]))
        return answer.status == kIOReturnSuccess ? answer[0] : nil
    }

    @Test("what the card works on outlives its driver, and counts among what the next one may have")
    func outlivesDriver() throws {
        let block = try #require(allocate(48 << 20))
        #expect(allocate(48 << 20) == nil)
        let window = try #require(claim())
        let address = try #require(map(block, window: window))
        guard let pin = dart.pin(address) else { throw Missing() }
        memory.releaseAll()
        let bytes = pin.memory(byteCount: 48 << 20, deviceWrites: true)
        bytes?.storeBytes(of: 7, toByteOffset: (48 << 20) - 1, as: UInt8.self)
        #expect(bytes != nil && allocate(48 << 20) == nil)
        // The next driver gets another window, as long as there is one.
        #expect(claim() == window + 1 && claim() == nil)
        pin.end(filling: 0)
        #expect(claim() == window)
        #expect(allocate(48 << 20) != nil)
    }

    @Test("a window that the card works on is not mapped to something else")
    func mapsAgain() throws {
        let blocks = [try #require(allocate(4096)), try #require(allocate(8192))]
        let window = try #require(claim())
        let address = try #require(map(blocks[0], window: window))
        #expect(map(blocks[1], window: window) == address)
        let pin = dart.pin(address)
        #expect(map(blocks[0], window: window) == nil)
        _ = consume pin
        #expect(map(blocks[0], window: window) == address)
        #expect(map(99, window: window) == nil && map(blocks[0], window: 0) == nil)
    }

    private struct Missing: Error {}
}
