import ArgumentParser
import Bench
import BenchReport
import Control
import LoadGenerator
import Platform

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures how fast tasks reach the driver by each route, on this machine.",
        usage: "nbdext bench [<options>]",
        discussion: """
            Five servers run on temporary RAID 5 arrays of 4 members: kext, legacy and bundled, and the latter two \
            with the driver in its own process. Each load measures them in turn, in rounds. The medians are printed \
            beside published figures of a physical array. All data is in the page cache.

            With --driver, --dext or both, those drivers are measured instead, legacy and bundled.

            EXAMPLES
              nbdext bench --quick
              nbdext bench --rounds 5 --html report.html
              nbdext bench --only "4 KiB" --json
              nbdext bench --driver .build/release/nbdext-raid-driver --dext RAIDDext.dext --card
            """)

    @Option(
        help:
            "Where the temporary arrays go. (default: the system's temporary directory; /dev/shm leaves disks out of it)"
    )
    var directory: String?
    @Option(
        help: "The size of each of the five arrays, which must fit in memory; at least 64M. \(ByteSize.help)",
        transform: ByteSize.init(parsing:))
    var size = ByteSize(byteCount: 512 << 20)
    @Option(help: "How long each measurement takes.")
    var seconds = 1.0
    @Option(help: "How often each measurement is made.")
    var rounds = 3
    @Flag(help: "One round of a fifth of a second.")
    var quick = false
    @Option(help: "Only workloads whose name contains this: \"random read\", \"1 MiB\".")
    var only: String?
    @Flag(
        help: """
            Send each request by itself, as most clients do, instead of all due requests at once. Bundles may get \
            smaller.
            """)
    var oneByOne = false
    @Flag(help: "Run one load with fio's nbd engine too, as a check.")
    var fio = false
    @Option(help: "The program of a driver to measure.")
    var driver: String?
    @Option(help: "The bundle of a C++ driver to measure.")
    var dext: String?
    @Flag(help: "The drivers drive the RAID card, and get an array each. Otherwise they bring their own targets.")
    var card = false
    @Flag(help: "Print JSON instead of tables.")
    var json = false
    @Option(help: "Write a report with charts to a file.")
    var html: String?

    func validate() throws {
        guard seconds >= 0.01, seconds <= 600 else { throw ValidationError("--seconds is from 0.01 to 600") }
        guard (1...99).contains(rounds) else { throw ValidationError("--rounds is from 1 to 99") }
        guard size.byteCount >= 64 << 20, size.byteCount <= 1 << 40 else {
            throw ValidationError("--size is from 64M to 1T, and five arrays of that size should fit in memory")
        }
        guard !card || !drivers.isEmpty else {
            throw ValidationError("--card is for --driver and --dext; name a driver, or leave it out")
        }
        guard html == nil || drivers.isEmpty else {
            throw ValidationError("--html compares the routes to the reference driver; leave out --driver and --dext")
        }
        guard !workloads.isEmpty else {
            let names = BenchPlan.workloads.map(\.name).joined(separator: ", ")
            throw ValidationError("no workload's name contains \(only ?? ""); there are: \(names)")
        }
    }

    func run() throws {
        // Errors that can be known now come before the measurements.
        let check = fio ? try FioCheck() : nil
        if let html { try TextFile.write("", to: html) }
        var plan = BenchRunner.Plan(byteCount: drivers.isEmpty || card ? size.byteCount : nil)
        if !drivers.isEmpty { plan.configurations = BenchConfiguration.routes(to: drivers) }
        let runner = try BenchRunner(
            parent: directory ?? BenchHost.temporaryDirectory, plan: plan, seconds: quick ? 0.2 : seconds,
            rounds: quick ? 1 : rounds, sendsSingly: oneByOne)
        defer { runner.stop() }
        let results = try runner.measure(workloads, check: check)
        show(json ? try JSONText.line(JSONReport(results)) + "\n" : TextReport(results).text, terminator: "")
        if let html { try TextFile.write(HTMLReport(results).text, to: html) }
    }

    private var drivers: [BenchDriver] {
        [("--driver", driver), ("--dext", dext)].compactMap { option, path in
            path.map { BenchDriver(option: option, path: $0) }
        }
    }

    private var workloads: [Workload] { BenchPlan.workloads.filter { only == nil || $0.name.contains(only!) } }
}
