import Glibc
import Logging

/// The log of this program: one line for each message, with the time in UTC and the level, on standard error.
private let serverLog = Logger(label: "nbdext") { _ in StandardErrorLog() }

/// Writes a message of this program to its log, as one line whatever is in it. Any thread.
///
/// - Parameters:
///   - text: one sentence for people.
///   - level: `.info` for what a user has asked for, `.notice` for a change that is worth knowing, `.warning` for
///     something that works worse than it could, `.error` for a failure.
package func writeMessage(_ text: String, level: Logger.Level = .notice) { serverLog.log(level: level, "\(text)") }

/// Takes the messages of a part that does not write to the log itself: one sentence for people, and its level as for
/// `writeMessage`. Any thread.
package typealias MessageSink = @Sendable (String, Logger.Level) -> Void

/// Writes log messages to standard error, as `writeDiagnostic` does. Metadata follows the text.
struct StandardErrorLog: LogHandler {
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let values = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let text = (["\(event.message)"] + values.map { "\($0)=\($1)" }).joined(separator: " ")
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        writeDiagnostic("\(Self.text(of: now)) \(event.level) nbdext: \(ForeignText(text))\n")
    }

    /// A time in UTC with milliseconds, as RFC 3339 has it: "2026-11-30T03:10:00.123Z".
    static func text(of time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &parts)
        let milliseconds = String(time.tv_nsec / 1_000_000)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) + "."
            + String(repeating: "0", count: 3 - milliseconds.count) + milliseconds + "Z"
    }
}
