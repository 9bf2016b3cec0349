import Glibc
import Platform
import Statistics

/// Shows a running server interval by interval, for `nbdext top`.
///
/// Threads: one.
package struct TopDisplay {
    private let client: ControlClient
    /// The length of an interval.
    private let seconds: Double
    private let isJSON: Bool

    /// - Parameters:
    ///   - client: the server's control socket.
    ///   - seconds: the length of an interval.
    ///   - isJSON: one JSON object an interval, instead of a picture.
    package init(_ client: ControlClient, seconds: Double, isJSON: Bool) {
        self.client = client
        self.seconds = seconds
        self.isJSON = isJSON
    }

    /// Shows intervals, on a terminal until the user ends it with q, and elsewhere without end.
    ///
    /// - Parameter once: ends after one interval.
    /// - Throws: as `ControlClient.statistics`.
    package func run(once: Bool) throws {
        guard !once, !isJSON, let screen = TerminalScreen() else { return try list(once: once) }
        defer { screen.end() }
        var before = try client.statistics()
        var interval: StatisticsSnapshot?
        while wait(screen, showing: interval) {
            let now = try client.statistics()
            interval = now.since(before)
            before = now
        }
    }

    private func list(once: Bool) throws {
        var before = try client.statistics()
        repeat {
            usleep(UInt32(seconds * 1_000_000))
            let now = try client.statistics()
            let interval = now.since(before)
            before = now
            show(isJSON ? try JSONText.line(TopReport.JSON(interval, total: now)) : TopReport.text(of: interval))
            fflush(nil)
        } while !once
    }

    /// Shows an interval until the next one is over, and draws it anew when the terminal's size changes.
    ///
    /// - Returns: false when the user has pressed q.
    private func wait(_ screen: TerminalScreen, showing interval: StatisticsSnapshot?) -> Bool {
        let end = monotonicMilliseconds() + UInt64(seconds * 1000)
        while true {
            if let interval {
                let size = screen.size
                screen.draw(
                    TerminalPicture.fit(
                        TopReport.lines(of: interval, columns: size.columns), columns: size.columns, rows: size.rows))
            }
            let now = monotonicMilliseconds()
            guard now < end else { return true }
            switch screen.wait(milliseconds: Int32(clamping: end - now)) {
            case .timedOut: return true
            case .resized: break
            case .key(let key): if key == UInt8(ascii: "q") || key == UInt8(ascii: "Q") { return false }
            }
        }
    }
}
