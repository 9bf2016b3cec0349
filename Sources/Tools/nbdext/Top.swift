import ArgumentParser
import Control

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what a running server does: requests, latencies, bundles, members.",
        usage: "nbdext top <directory> [<options>]",
        discussion: """
            Each update shows what the server counted during one interval. On a terminal the screen is redrawn each \
            time, cut to fit, until q or Ctrl-C. Elsewhere the updates are printed one after another.

            EXAMPLES
              nbdext top a
              nbdext top a --once --json
              nbdext top --control a/nbdext.control --prometheus > nbdext.prom
            """)

    @OptionGroup var server: ServerOptions
    @Option(help: "Seconds from one update to the next, at least 0.1.")
    var interval = 1.0
    @Flag(help: "Show one interval and exit.")
    var once = false
    @Flag(help: "Print one JSON object per interval: its numbers, and all that the server has counted.")
    var json = false
    @Flag(help: "Print what the server has counted, in Prometheus' text format, and exit.")
    var prometheus = false

    func validate() throws {
        guard interval >= 0.1, interval <= 86_400 else {
            throw ValidationError("an interval is between 0.1 and 86400 seconds")
        }
        if prometheus && json { throw ValidationError("--json and --prometheus are two formats; choose one") }
    }

    func run() throws {
        let client = server.client
        if prometheus { return show(try client.statistics().prometheus, terminator: "") }
        try TopDisplay(client, seconds: interval, isJSON: json).run(once: once)
    }
}
