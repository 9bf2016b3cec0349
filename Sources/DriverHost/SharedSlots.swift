import CDriverChannel
import CLinux
import Glibc
import Platform
import SCSIControllerDriverKit

/// The memory that both sides of the driver boundary see: the command slots, then the response slots, each in a memory
/// file that cannot be resized. A driver in a process of its own can only read the commands.
///
/// Slot i is answered in response slot i. A slot belongs to the kernel until its index is sent, and to the driver
/// until it passes the index back.
package final class SharedSlots: Sendable {
    package let taskCount: Int
    // SAFETY: ownership of each slot moves with its index; see above.
    package nonisolated(unsafe) let commands: UnsafeMutablePointer<SCSIUserParallelTask>
    package nonisolated(unsafe) let responses: UnsafeMutablePointer<SCSIUserParallelResponse>
    let commandFile: Int32
    let responseFile: Int32

    /// - Throws: when the system refuses the memory.
    package init(taskCount: Int) throws(OSError) {
        self.taskCount = taskCount
        (commandFile, commands) = try Self.allocate("nbdext-commands", taskCount, of: SCSIUserParallelTask.self)
        (responseFile, responses) = try Self.allocate("nbdext-responses", taskCount, of: SCSIUserParallelResponse.self)
        _ = nbdext_seal(responseFile)
        // Mappings that exist may go on writing.
        let status = nbdext_seal_writes(commandFile)
        guard status == 0 else { throw OSError(code: -status, doing: "seal the command slots") }
    }

    deinit {
        munmap(commands, commandMemory.count)
        munmap(responses, responseMemory.count)
        close(commandFile)
        close(responseFile)
    }

    package var commandMemory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: commands, count: taskCount))
    }

    package var responseMemory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: responses, count: taskCount))
    }

    private static func allocate<Slot>(
        _ name: String, _ count: Int, of type: Slot.Type
    ) throws(OSError) -> (Int32, UnsafeMutablePointer<Slot>) {
        let (file, memory) = try SharedMemory.make(name, byteCount: count * MemoryLayout<Slot>.stride)
        return (file, memory.bindMemory(to: Slot.self, capacity: count))
    }
}

/// Memory files of a fixed size.
enum SharedMemory {
    /// A memory file and its mapping, both for the caller to give back.
    static func make(_ name: String, byteCount: Int) throws(OSError) -> (file: Int32, memory: UnsafeMutableRawPointer) {
        let file = nbdext_memfd(name, Int64(byteCount))
        guard file >= 0 else { throw OSError(code: -file, doing: "make shared memory") }
        guard let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), memory != MAP_FAILED
        else {
            let code = errno
            close(file)
            throw OSError(code: code, doing: "map shared memory")
        }
        return (file, memory)
    }
}
