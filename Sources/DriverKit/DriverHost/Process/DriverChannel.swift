import CDriverKit
import Glibc
import Platform
import SCSIControllerDriverKit

/// The memory by which messages go to a driver's process and back, as pairs of rings.
///
/// The first pair serves everybody. In bundled mode on several processors, each processor group has one more, for the
/// batches that it sends.
///
/// Threads: `renew` and `file` on the thread that starts the driver; the rest on any.
final class DriverChannel: @unchecked Sendable {
    // SAFETY: `file` belongs to the thread that starts the driver; the rest never changes; rings protect themselves.
    let pairs: [RingPair]
    let groups: ProcessorGroups
    private let memory: UnsafeMutableRawPointer
    /// A new file for each start: processes that an earlier driver has started may have the old one.
    private(set) var file: Int32
    /// The driver's process writes this when it crashes.
    let crashNote: UnsafeMutablePointer<nbdext_crash_note>
    /// A batch of at least so many tasks goes by the pair of its processor.
    private static let boundTaskCountMin = kMaxBundledParallelTasks / 2

    /// The number of pairs for a driver in this mode.
    static func pairCount(mode: DriverMode, groups: ProcessorGroups) -> Int {
        mode == .bundled && groups.count > 1 ? 1 + groups.count : 1
    }

    /// - Throws: when the system refuses the memory.
    init(pairCount: Int, groups: ProcessorGroups, context: DriverContext) throws(OSError) {
        self.groups = groups
        let (file, memory) = try SharedMemory.make("nbdext-channel", byteCount: Self.byteCount(pairCount))
        (self.file, self.memory) = (file, memory)
        pairs = (0..<pairCount).map { RingPair(index: $0, channel: memory, context: context) }
        crashNote = nbdext_channel_last_words(memory).assumingMemoryBound(to: nbdext_crash_note.self)
    }

    deinit {
        munmap(memory, Self.byteCount(pairs.count))
        close(file)
    }

    private static func byteCount(_ pairCount: Int) -> Int { nbdext_channel_size(UInt32(pairCount)) }

    /// The pair by which an exchange goes: a batch by that of its processor, anything else by the first one.
    func pair(of exchange: inout Exchange) -> RingPair {
        if let way = exchange.way { return pairs[way] }
        let way = pairs.count > 1 && exchange.taskCount >= Self.boundTaskCountMin ? 1 + groups.current : 0
        exchange.way = way
        return pairs[way]
    }

    /// Puts new memory in the place of the old, for a new process. The driver before it is gone.
    /// - Parameter prepare: runs while no thread sends or takes messages.
    func renew(_ prepare: () -> Void) throws(OSError) {
        for pair in pairs {
            pair.consumerLock.lock()
            pair.producerLock.lock()
        }
        defer {
            for pair in pairs {
                pair.producerLock.unlock()
                pair.consumerLock.unlock()
            }
        }
        let old = file
        file = try SharedMemory.replace(memory, "nbdext-channel", byteCount: Self.byteCount(pairs.count))
        close(old)
        for pair in pairs { pair.reset() }
        prepare()
    }
}
