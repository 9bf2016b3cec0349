import ArgumentParser
import Glibc
import Platform
import Statistics

/// `nbdext top`.
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what a running server does: requests, latencies, bundles, members.",
        usage: "nbdext top <directory> [<options>]",
        discussion: """
            Each interval is shown by the difference of what the server has counted at its ends. On a terminal the \
            screen is drawn anew each time, as much of it as fits, until q or Ctrl-C; elsewhere one picture follows \
            another.

            EXAMPLES
              nbdext top a
              nbdext top a --once --json
              nbdext top --control a/nbdext.control --prometheus > nbdext.prom
            """)

    @Argument(help: "The directory of one of the server's arrays.")
    var directory: String?

    @Option(help: "The server's control socket, if nothing in that directory leads to it.")
    var control: String?

    @Option(help: "Seconds from one picture to the next, at least 0.1.")
    var interval = 1.0

    @Flag(help: "Show one interval and end.")
    var once = false

    @Flag(help: "Print one JSON object an interval: its numbers, and all that the server has counted.")
    var json = false

    @Flag(help: "Print what the server has counted in Prometheus' text format, at once, and end.")
    var prometheus = false

    func validate() throws {
        guard control != nil || directory != nil else {
            throw ValidationError("say which server: the directory of one of its arrays, or --control PATH")
        }
        guard interval >= 0.1, interval <= 86_400 else {
            throw ValidationError("an interval is between 0.1 and 86400 seconds")
        }
        if prometheus && json { throw ValidationError("--json and --prometheus are two formats; choose one") }
    }

    func run() throws {
        let path = control ?? ControlSocket.defaultPath(directory: directory!)
        if prometheus {
            show(try ControlSocket.send("prometheus", to: path), terminator: "")
            return
        }
        let screen = once || json ? nil : TerminalScreen()
        defer { screen?.end() }
        var before = try ControlSocket.statistics(from: path)
        if let screen, try !pause(screen, nil) { return }
        if screen == nil { pause() }
        while true {
            let now = try ControlSocket.statistics(from: path)
            let interval = now.since(before)
            before = now
            guard let screen else {
                write(json ? TopReport.json(of: interval, total: now).text : TopReport.text(of: interval))
                if once { return }
                pause()
                continue
            }
            if try !pause(screen, interval) { return }
        }
    }

    private func pause() { usleep(UInt32(interval * 1_000_000)) }

    /// Shows an interval until the next one is over, anew when the terminal's size changes.
    /// - Returns: false when somebody has pressed q.
    private func pause(_ screen: TerminalScreen, _ shown: StatisticsSnapshot?) throws -> Bool {
        let end = monotonicMilliseconds() + UInt64(interval * 1000)
        while true {
            if let shown {
                let size = screen.size
                screen.draw(
                    TerminalPicture.fit(
                        TopReport.lines(of: shown, columns: size.columns), columns: size.columns, rows: size.rows))
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

    private func write(_ text: String) {
        show(text)
        fflush(nil)
    }
}
