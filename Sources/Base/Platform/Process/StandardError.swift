import Glibc
import Synchronization

/// How long a message waits for whoever reads standard error.
private let patienceMilliseconds: Int32 = 1000
/// So much goes into a pipe in one piece, and without waiting once poll(2) says that there is room.
private let pieceByteCount = Int(PIPE_BUF)
/// The last message was left out: the next one does not wait.
private let isReaderStuck = Atomic<Bool>(false)

/// Writes lines to standard error, whoever else writes: in one piece, if they are no longer than a page. What a terminal would
/// take for a command is escaped (`ForeignText`).
///
/// The caller does not depend on the reader: a terminal that was halted, or a log's process that hangs, must not keep a
/// server from its work, or from its end. What is not taken within a second is left out. Any thread.
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

/// Writes a message of this program to standard error, as one line whatever is in it. Any thread.
package func writeMessage(_ text: String) { writeDiagnostic("nbdext: \(ForeignText(text))\n") }
