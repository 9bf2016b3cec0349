import CDriverKit
import CLinux
import Glibc
import Platform
import SCSIControllerDriverKit

/// The memory that both sides of the driver boundary see: the command slots and the response slots, each in a memory
/// file that cannot be resized. A driver in a process of its own can only read the commands.
///
/// Slot i is answered in response slot i. A slot belongs to the kernel until its index is sent, and to the driver until
/// it passes the index back.
package final class SharedSlots: Sendable {
    /// The number of slots of each kind.
    package let taskCount: Int
    // SAFETY: ownership of each slot moves with its index; see above.
    /// The command slots.
    package nonisolated(unsafe) let commands: UnsafeMutablePointer<SCSIUserParallelTask>
    /// The response slots.
    package nonisolated(unsafe) let responses: UnsafeMutablePointer<SCSIUserParallelResponse>
    let commandFile: Int32
    // SAFETY: `responseFile` belongs to the thread that starts the driver's process.
    /// A new file for each start of a driver's process.
    private(set) nonisolated(unsafe) var responseFile: Int32

    /// - Throws: when the system refuses the memory.
    package init(taskCount: Int) throws(OSError) {
        self.taskCount = taskCount
        (commandFile, commands) = try Self.allocate("nbdext-commands", taskCount, of: SCSIUserParallelTask.self)
        (responseFile, responses) = try Self.allocate("nbdext-responses", taskCount, of: SCSIUserParallelResponse.self)
        _ = nbdext_seal(responseFile)
        // Existing mappings stay writable.
        let status = nbdext_seal_writes(commandFile)
        guard status == 0 else { throw OSError(code: -status, doing: "seal the command slots") }
    }

    /// Puts new memory in the place of the response slots, since processes of an earlier driver may write to the old
    /// memory. Only while no slot is with a driver and no response waits to be read.
    func renewResponses() throws(OSError) {
        let old = responseFile
        responseFile = try SharedMemory.replace(responses, "nbdext-responses", byteCount: responseMemory.count)
        close(old)
        _ = nbdext_seal(responseFile)
    }

    deinit {
        munmap(commands, commandMemory.count)
        munmap(responses, responseMemory.count)
        close(commandFile)
        close(responseFile)
    }

    /// The command slots as bytes.
    package var commandMemory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: commands, count: taskCount))
    }

    /// The response slots as bytes.
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

/// Memory files of a fixed size, and their mappings.
enum SharedMemory {
    /// Makes a memory file and maps it; the caller closes and unmaps them.
    static func make(_ name: String, byteCount: Int) throws(OSError) -> (file: Int32, memory: UnsafeMutableRawPointer) {
        try make(name, byteCount: byteCount, at: nil)
    }

    /// Maps a new memory file in place of the old mapping; the caller closes the file. Other threads may read the
    /// memory meanwhile: they find the old content or zeros.
    static func replace(
        _ memory: UnsafeMutableRawPointer, _ name: String, byteCount: Int
    ) throws(OSError) -> Int32 {
        try make(name, byteCount: byteCount, at: memory).file
    }

    private static func make(
        _ name: String, byteCount: Int, at place: UnsafeMutableRawPointer?
    ) throws(OSError) -> (file: Int32, memory: UnsafeMutableRawPointer) {
        let file = nbdext_memfd(name, Int64(byteCount))
        guard file >= 0 else { throw OSError(code: -file, doing: "make shared memory") }
        let flags = place == nil ? MAP_SHARED : MAP_SHARED | MAP_FIXED
        guard let memory = mmap(place, byteCount, PROT_READ | PROT_WRITE, flags, file, 0), memory != MAP_FAILED
        else {
            let code = errno
            close(file)
            throw OSError(code: code, doing: "map shared memory")
        }
        return (file, memory)
    }
}
