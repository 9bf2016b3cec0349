import Platform
import SCSIControllerDriverKit

/// The memory that both sides of the driver boundary see: the command slots, then the response slots.
///
/// Slot i is answered in response slot i. A slot belongs to the kernel until its index is sent, and to the driver
/// until it passes the index back.
package final class SharedSlots: Sendable {
    package let taskCount: Int
    // SAFETY: ownership of each slot moves with its index; see above.
    package nonisolated(unsafe) let commands: UnsafeMutablePointer<SCSIUserParallelTask>
    package nonisolated(unsafe) let responses: UnsafeMutablePointer<SCSIUserParallelResponse>

    package init(taskCount: Int) {
        self.taskCount = taskCount
        commands = Self.allocate(taskCount, SCSIUserParallelTask())
        responses = Self.allocate(taskCount, SCSIUserParallelResponse())
    }

    deinit {
        commands.deallocate()
        responses.deallocate()
    }

    package var commandMemory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: commands, count: taskCount))
    }

    package var responseMemory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: responses, count: taskCount))
    }

    private static func allocate<Slot>(_ count: Int, _ empty: Slot) -> UnsafeMutablePointer<Slot> {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Slot>.stride, alignment: 4096)
        let slots = memory.bindMemory(to: Slot.self, capacity: count)
        slots.initialize(repeating: empty, count: count)
        return slots
    }
}
