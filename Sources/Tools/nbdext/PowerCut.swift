import ArgumentParser
import Control
import Platform

struct PowerCut: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "power-cut",
        abstract: "Simulates a loss of power in a running server: drops its unflushed data.",
        discussion: """
            Data that was written but not flushed is dropped from the caches of buffered exports (--buffered) and from \
            the card's write cache (--write-cache on). The server keeps running, so you can read what survived.
            """)

    @OptionGroup var server: ServerOptions

    func run() throws { show(ForeignText(try server.client.change(.powerCut).message).description) }
}
