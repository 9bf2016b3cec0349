import Glibc
import Synchronization

/// How long a message waits for the reader of standard error.
private let patienceMilliseconds: Int32 = 1000
/// A write of this size to a pipe is atomic, and does not block after poll(2) has found room.
private let pieceByteCount = Int(PIPE_BUF)
/// The last message was dropped, so the next one does not wait.
private let isReaderStuck = Atomic<Bool>(false)

/// Writes lines to standard error: in one piece, even among other writers, if they are no longer than a page. Terminal
/// control characters are escaped (`ForeignText`).
///
/// The caller does not depend on the reader: a halted terminal or a hanging log process must keep a server neither from
/// its work nor from its end. What the reader does not take within a second is dropped. Any thread.
package func writeDiagnostic(_ text: String) {
    var text = ForeignText.lines(text)
    text.withUTF8 { bytes in
        var written = 0
        while written < bytes.count {
            var polled = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
            let patience = isReaderStuck.load(ordering: .relaxed) ? 0 : patienceMilliseconds
            let isStuck = poll(&polled, 1, patience) == 0
            isReaderStuck.store(isStuck, ordering: .relaxed)
            if isStuck { return }
            let count = write(STDERR_FILENO, bytes.baseAddress! + written, min(bytes.count - written, pieceByteCount))
            guard count > 0 else { return }
            written += count
        }
    }
}
