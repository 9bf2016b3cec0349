import Glibc
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// The memory that a driver's process shares with the card for its rings and tables, and the DART windows through which
/// the card sees it. The server allocates all of it, so that a driver cannot take it away.
///
/// Threads: any.
final class DriverMemory: @unchecked Sendable {
    // SAFETY: only under `lock`.
    private static let byteCountMax = 64 << 20
    private static let pageByteCount = 4096
    private let function: PCIFunction
    private let lock = Lock()
    private var blocks: [UInt64: UnsafeMutableRawBufferPointer] = [:]
    private var lastID: UInt64 = 0
    private var allocated = 0
    /// Windows that the driver has, and those that an earlier one had.
    private var claimed: Set<Int> = []
    private var spare: [Int] = []

    init(function: PCIFunction) { self.function = function }

    func answer(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        switch call {
        case .allocateMemory: allocate(message[0])
        case .claimWindow: claim()
        case .mapMemory: map(window: message[0], id: message[1])
        default: unmap(window: message[0])
        }
    }

    /// Takes everything back from a driver that has ended. The card no longer works for it.
    func releaseAll() {
        lock.withLock {
            for window in claimed { function.unmapDMA(window: window) }
            spare += claimed
            claimed = []
            for block in blocks.values { munmap(block.baseAddress!, block.count) }
            blocks = [:]
            allocated = 0
        }
    }

    private func allocate(_ size: UInt64) -> ControlMessage {
        lock.withLock {
            guard size > 0, size <= UInt64(Self.byteCountMax) else { return ControlMessage(status: kIOReturnNoMemory) }
            // Whole pages count: the smallest mapping is one, and the process may not have any number of them.
            let pages = (Int(size) + Self.pageByteCount - 1) & ~(Self.pageByteCount - 1)
            guard pages <= Self.byteCountMax - allocated,
                let (file, memory) = try? SharedMemory.make("nbdext-driver", byteCount: Int(size))
            else { return ControlMessage(status: kIOReturnNoMemory) }
            lastID += 1
            blocks[lastID] = UnsafeMutableRawBufferPointer(start: memory, count: Int(size))
            allocated += pages
            var answer = ControlMessage([lastID])
            answer.descriptor = file
            return answer
        }
    }

    private func claim() -> ControlMessage {
        lock.withLock {
            guard let window = spare.popLast() ?? function.claimDMAWindow() else {
                return ControlMessage(status: kIOReturnNoResources)
            }
            claimed.insert(window)
            return ControlMessage([UInt64(window)])
        }
    }

    private func map(window: UInt64, id: UInt64) -> ControlMessage {
        lock.withLock {
            guard let window = Int(exactly: window), claimed.contains(window), let block = blocks[id],
                let address = function.mapDMA(window: window, memory: block, sharedID: 0)
            else { return ControlMessage(status: kIOReturnBadArgument) }
            return ControlMessage([address])
        }
    }

    private func unmap(window: UInt64) -> ControlMessage {
        lock.withLock {
            guard let window = Int(exactly: window), claimed.contains(window) else {
                return ControlMessage(status: kIOReturnBadArgument)
            }
            function.unmapDMA(window: window)
            return ControlMessage()
        }
    }
}
