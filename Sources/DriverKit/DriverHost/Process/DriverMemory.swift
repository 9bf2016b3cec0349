import Glibc
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// The memory that a driver's process shares with the card for its rings and tables, and the DART windows through which
/// the card sees it. The server allocates all of it, so that a driver cannot take it away.
///
/// A block is unmapped when the last reference to it goes: the driver's, which ends with its process, and the DART's,
/// which ends when no window leads to the block and the card does not work on it any more.
///
/// Threads: any.
final class DriverMemory: @unchecked Sendable {
    // SAFETY: only under `lock`.
    private let function: PCIFunction
    private let lock = Lock()
    private let budget = Budget()
    private var blocks: [UInt64: Block] = [:]
    private var lastID: UInt64 = 0
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

    /// Takes everything back from a driver that has ended. The card may still work on some of it.
    func releaseAll() {
        lock.withLock {
            for window in claimed { function.unmapDMA(window: window) }
            spare += claimed
            claimed = []
            blocks = [:]
        }
    }

    private func allocate(_ size: UInt64) -> ControlMessage {
        lock.withLock {
            guard let byteCount = Int(exactly: size), let (file, block) = Block.make(byteCount: byteCount, of: budget)
            else { return ControlMessage(status: kIOReturnNoMemory) }
            lastID += 1
            blocks[lastID] = block
            var answer = ControlMessage([lastID])
            answer.descriptor = file
            return answer
        }
    }

    private func claim() -> ControlMessage {
        lock.withLock {
            // The card may still work on what an earlier driver had mapped.
            let free = spare.firstIndex { function.dart.isFree(window: $0) }
            guard let window = free.map({ spare.remove(at: $0) }) ?? function.claimDMAWindow() else {
                return ControlMessage(status: kIOReturnNoResources)
            }
            claimed.insert(window)
            return ControlMessage([UInt64(window)])
        }
    }

    private func map(window: UInt64, id: UInt64) -> ControlMessage {
        lock.withLock {
            guard let window = Int(exactly: window), claimed.contains(window), let block = blocks[id] else {
                return ControlMessage(status: kIOReturnBadArgument)
            }
            let address = function.mapDMA(window: window, memory: block.memory, owner: block, sharedID: 0)
            return address.map { ControlMessage([$0]) } ?? ControlMessage(status: kIOReturnNoResources)
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

extension DriverMemory {
    /// Bytes that drivers have, those included that the card still works on for a driver that is gone.
    private final class Budget: Sendable {
        static let byteCountMax = 64 << 20
        private let allocated = Atomic<Int>(0)

        func take(_ byteCount: Int) -> Bool {
            let isEnough = allocated.add(byteCount, ordering: .relaxed).newValue <= Self.byteCountMax
            if !isEnough { giveBack(byteCount) }
            return isEnough
        }

        func giveBack(_ byteCount: Int) { allocated.subtract(byteCount, ordering: .relaxed) }
    }

    /// Memory that is mapped here as long as anybody refers to it.
    private final class Block: @unchecked Sendable {
        // SAFETY: the address does not change; what is there belongs to the driver.
        let memory: UnsafeMutableRawBufferPointer
        private let budget: Budget
        private static let pageByteCount = 4096

        private init(_ memory: UnsafeMutableRawBufferPointer, _ budget: Budget) {
            self.memory = memory
            self.budget = budget
        }

        deinit {
            munmap(memory.baseAddress!, memory.count)
            budget.giveBack(Self.wholePages(memory.count))
        }

        /// - Returns: also the memory file, for the caller to close; nil when there is not so much for drivers.
        static func make(byteCount: Int, of budget: Budget) -> (file: Int32, block: Block)? {
            guard byteCount > 0, byteCount <= Budget.byteCountMax, budget.take(wholePages(byteCount)) else {
                return nil
            }
            guard let (file, memory) = try? SharedMemory.make("nbdext-driver", byteCount: byteCount) else {
                budget.giveBack(wholePages(byteCount))
                return nil
            }
            return (file, Block(UnsafeMutableRawBufferPointer(start: memory, count: byteCount), budget))
        }

        /// The smallest mapping is a page, and the process may not have any number of them.
        private static func wholePages(_ byteCount: Int) -> Int {
            (byteCount + pageByteCount - 1) & ~(pageByteCount - 1)
        }
    }
}
