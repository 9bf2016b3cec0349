import Glibc

/// What a thread of this process is doing, and the processor time that it has had: proc(5), /proc/self/task/ID/stat.
package struct ThreadUsage: Sendable, Equatable {
    /// Whether the thread runs, or would if there were a processor for it. False while it waits for anything else.
    package var isReady: Bool
    /// In all, milliseconds, in steps of the system's tick (usually 10 ms).
    package var processorMilliseconds: UInt64

    /// - Parameters: as the fields.
    package init(isReady: Bool, processorMilliseconds: UInt64) {
        self.isReady = isReady
        self.processorMilliseconds = processorMilliseconds
    }

    /// Looks at a thread.
    /// - Returns: nil when there is no such thread, or the system does not say.
    package init?(ofThread id: UInt) {
        let file = open("/proc/self/task/\(id)/stat", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        let text = withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { buffer in
            String(decoding: buffer.prefix(max(0, read(file, buffer.baseAddress!, buffer.count))), as: UTF8.self)
        }
        self.init(parsing: text)
    }

    /// Parses the content of the file. The thread's name comes in brackets, and may hold anything.
    package init?(parsing text: String) {
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        let tick = sysconf(Int32(_SC_CLK_TCK))
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]), tick > 0 else {
            return nil
        }
        self.init(isReady: fields[0] == "R", processorMilliseconds: (user + system) * 1000 / UInt64(tick))
    }
}
