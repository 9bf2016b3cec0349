import CDriverKit
import Platform

/// The last messages between the kernel half and a driver, for the report when the driver ends.
///
/// Threads: any. A message that two threads note at once may be garbled, and nothing else.
final class MessageHistory: @unchecked Sendable {
    // SAFETY: plain values, which a race can only garble; see above.
    private struct Entry: BitwiseCopyable {
        var kind: UInt32 = 0
        var count: UInt32 = 0
        var value: UInt64 = 0
    }

    private static let capacity = 16
    private let entries: UnsafeMutablePointer<Entry>
    private var next = 0

    init() {
        entries = .allocate(capacity: Self.capacity)
        entries.initialize(repeating: Entry(), count: Self.capacity)
    }

    deinit { entries.deallocate() }

    /// Notes a message before it is sent, or after it was taken.
    func note(_ message: UnsafePointer<nbdext_message>) {
        entries[next & (Self.capacity - 1)] = Entry(
            kind: message.pointee.kind, count: message.pointee.count, value: message.pointee.value)
        next &+= 1
    }

    /// The messages as a part of a report.
    var picture: [String] { Self.section("last messages, oldest first:", lines) }

    /// A title above its lines; nothing when there are none.
    static func section(_ title: String, _ lines: [String]) -> [String] {
        lines.isEmpty ? [] : [title] + lines.map { "  " + $0 }
    }

    /// The messages, oldest first.
    private var lines: [String] {
        (0..<Self.capacity).map { entries[(next &+ $0) & (Self.capacity - 1)] }.compactMap { entry in
            switch nbdext_message_kind(entry.kind) {
            case NBDEXT_BUNDLED_TASKS: "to the driver: UserProcessBundledParallelTasks, \(entry.count) slots"
            case NBDEXT_LEGACY_TASK: "to the driver: UserProcessParallelTask, slot \(entry.value)"
            case NBDEXT_INTERRUPT: "to the driver: interrupt"
            case NBDEXT_BUNDLED_COMPLETION: "from the driver: BundledParallelTaskCompletion, \(entry.count) slots"
            case NBDEXT_LEGACY_COMPLETION: "from the driver: ParallelTaskCompletion"
            case NBDEXT_REGISTER_WRITE: "from the driver: register 0x\(String(entry.count, radix: 16)) = \(entry.value)"
            case NBDEXT_LEGACY_REPLY: "from the driver: UserProcessParallelTask returned for slot \(entry.value)"
            default: nil
            }
        }
    }
}
