import ArgumentParser
import Glibc
import NBDServer
import Platform
import Statistics

/// `nbdext top`.
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what a running server does: requests, latencies, bundles, members.",
        discussion: """
            Each interval is shown by the difference of what the server has counted at its ends. On a terminal the \
            screen is drawn anew each time, until Ctrl-C; elsewhere one picture follows another.

            EXAMPLES
              nbdext top /srv/disks/a
              nbdext top /srv/disks/a --once --json
              nbdext top --control /run/a.control --prometheus > nbdext.prom
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
            print(try ControlSocket.send("prometheus", to: path), terminator: "")
            return
        }
        let isTerminal = isatty(STDOUT_FILENO) != 0
        var before = try ControlSocket.statistics(from: path)
        repeat {
            usleep(UInt32(interval * 1_000_000))
            let now = try ControlSocket.statistics(from: path)
            let picture =
                json
                ? TopReport.json(of: now.since(before), total: now).text + "\n"
                : TopReport.lines(of: now.since(before)).joined(separator: "\n") + "\n"
            write(isTerminal && !json && !once ? Self.redrawn(picture) : picture)
            before = now
        } while !once
    }

    /// Home, each line cleared to its end, and then the rest of the screen: nothing flickers.
    private static func redrawn(_ picture: String) -> String {
        "\u{1B}[H" + picture.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\u{1B}[K\n")
            + "\u{1B}[J"
    }

    private func write(_ text: String) {
        print(text, terminator: "")
        fflush(nil)
    }
}
