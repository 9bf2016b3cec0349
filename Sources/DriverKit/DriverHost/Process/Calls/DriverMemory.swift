import Glibc
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// The memory that a driver's process shares with the card for its rings and tables, and the DART windows for it. The
/// server allocates all of it, so that a driver cannot take it away.
///
/// A block is unmapped with its last reference. The driver's reference ends with its process. The DART's ends when no
/// window maps the block and the card does not work on it.
///
/// Threads: any.
final class DriverMemory: @unchecked Sendable {
    // SAFETY: the variables are touched only under `lock`.
    private let function: PCIFunction
    private let lock = Lock()
    private let budget = Budget()
    private var blocks: [UInt64: Block] = [:]
    private var lastID: UInt64 = 0
    /// The current driver's windows, and those of earlier drivers.
    private var claimed: Set<Int> = []
    private var spare: [Int] = []

    init(function: PCIFunction) { self.function = function }

    deinit { releaseAll() }

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
            // The card may still work on an earlier driver's memory.
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
    /// The bytes that drivers have. They include memory of dead drivers that the card still works on.
    private final class Budget: Sendable {
        static let byteCountMax = Int(IOBufferMemoryDescriptor.shareableByteCountMax)
        private let allocated = Atomic<Int>(0)

        func take(_ byteCount: Int) -> Bool {
            let isEnough = allocated.add(byteCount, ordering: .relaxed).newValue <= Self.byteCountMax
            if !isEnough { giveBack(byteCount) }
            return isEnough
        }

        func giveBack(_ byteCount: Int) { allocated.subtract(byteCount, ordering: .relaxed) }
    }

    /// Memory that is mapped in this process until its last reference goes.
    private final class Block: @unchecked Sendable {
        // SAFETY: the address never changes; the content belongs to the driver.
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

        /// - Returns: the memory file, which the caller closes, and the block; nil when it exceeds the drivers' budget
        ///   or the system has no memory.
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

        /// Rounds up to whole pages: the smallest mapping is a page, and the number of mappings is limited too.
        private static func wholePages(_ byteCount: Int) -> Int {
            (byteCount + pageByteCount - 1) & ~(pageByteCount - 1)
        }
    }
}
