import ArgumentParser
import Control
import DextBundle
import Diagnostics
import DriverHost
import EmulatedMachine
import Members
import NBDServer
import ParallelInterface
import Platform

extension DriverMode: ExpressibleByArgument {}
extension ConstraintPolicy: ExpressibleByArgument {}
extension TaskTrace.Format: ExpressibleByArgument {}

/// The choice of `--io-engine`.
enum EngineChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, uring, threads
}

/// The choice of `--write-cache`.
enum Switch: String, ExpressibleByArgument, CaseIterable {
    case on, off
}

/// The choice of `--driver-host`.
enum DriverHostChoice: String, ExpressibleByArgument, CaseIterable {
    case inProcess = "in-process"
    case process
}

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serves arrays over NBD.",
        discussion: """
            Each array is an export with the array's name; the first is also the default export. The targets of a \
            driver that needs no array are exports named target-0, target-1 and so on. SIGTERM, SIGINT and SIGHUP \
            stop the server after it has finished and flushed what clients have sent; a second signal stops it at \
            once. (Under nohup, SIGHUP does nothing.)

            EXAMPLES
              nbdext serve a --socket a.sock
              nbdext serve a b --listen localhost:10809 --mode legacy
              nbdext serve a b --luns --socket ab.sock
              nbdext serve --driver .build/debug/MyFirstDext --socket a.sock
              nbdext serve --dext MyFirstDextCPP.dext --socket a.sock
              nbdext serve a --socket a.sock --profile dext-64k --constraints macos --trace -

            SIGUSR1 prints what the driver's queues do, which tasks it has, and what RAID 5 writes had to read. Before \
            the server is ready, it prints what the server is doing.
            """)

    @Argument(help: "The arrays' directories. None when --driver or --dext names a driver that brings its own targets.")
    var directories: [String] = []
    @Option(
        help: """
            The name of an array's export, instead of the array's; may be repeated, in the order of the directories.
            """)
    var name: [String] = []
    @Option(help: "Listen on a Unix socket at this path; may be repeated.")
    var socket: [String] = []
    @Option(
        help: """
            Listen on TCP, at every address of a host: HOST:PORT, [IPV6]:PORT, or *:PORT for all addresses of this \
            machine; may be repeated. The NBD port is 10809.
            """)
    var listen: [String] = []
    @Option(
        help: Self.seconds("The limit for a stop, in seconds. Clients have most of it to take their replies."))
    var stopTimeout = 10
    @Option(help: Self.seconds("The limit for a client's handshake, in seconds."))
    var handshakeTimeout = 10
    @Option(
        help: Self.seconds(
            "Disconnect a TCP client that shows no sign of life for this long, in seconds; 0 leaves that to the system."
        ))
    var keepalive = 120
    @Option(
        help: Self.seconds(
            """
            How long requests wait, in seconds, when an array has lost more members on other servers than it can do \
            without; with 0 they fail at once.
            """))
    var lostTimeout = 0
    @Option(
        help: """
            How tasks reach the driver: bundled (up to 32 a call), legacy (one a call), or kext (directly). (default: \
            bundled, or what the profile says)
            """)
    var mode: DriverMode?
    @Option(help: "Where the driver runs: in-process, or process (its own process, as on macOS).")
    var driverHost: DriverHostChoice = .inProcess
    @Option(help: "The program of another driver, used instead of the reference driver. It runs in its own process.")
    var driver: String?
    @Option(help: "The bundle of a C++ driver, made by 'nbdext dext build'. It runs in its own process.")
    var dext: String?
    @Option(help: "An argument for the driver's program; may be repeated.")
    var driverArgument: [String] = []
    @Option(help: "Run the driver's process with this user's rights instead of the server's. Needs root.")
    var driverUser: String?
    @Option(help: ProfileHelp.text)
    var profile: String?
    @Option(help: "What to do with limits that contradict each other: strict (refuse to start) or macos (fail later).")
    var constraints: ConstraintPolicy = .strict
    @Flag(
        help: """
            End the stages of large writes where stripes end, and report the stripe size to clients if NBD can \
            express it. macOS does neither.
            """)
    var alignStages = false
    @Option(help: "Whether the card has a volatile write cache (64 MiB): on or off.")
    var writeCache: Switch = .off
    @Flag(
        help: """
            Export each array a second time, as NAME.buffered, behind a kernel-side cache: what /dev/diskN is to \
            /dev/rdiskN.
            """)
    var buffered = false
    @Option(
        help:
            "The path of the control socket; links in the arrays' directories lead to it. (default: nbdext.control in the first array's directory)"
    )
    var control: String?
    @Option(help: "Write the driver's log, one line a call, to a file, or to standard output (-).")
    var trace: String?
    @Option(help: "The format of the driver's log: text or json.")
    var traceFormat: TaskTrace.Format = .text
    @Flag(help: "Make the arrays logical units 0, 1, ... of one target, instead of a target each.")
    var luns = false
    @Flag(help: "Serve read-only. Nothing on disk is changed.")
    var readOnly = false
    @Flag(help: "Serve an array that was not stopped cleanly and lacks a member or data.")
    var force = false
    @Option(help: "How member files are read and written.")
    var ioEngine: EngineChoice = .auto

    func validate() throws {
        guard !directories.isEmpty || hasOwnDriver else {
            throw ValidationError(
                "name an array's directory, or with --driver or --dext a driver that brings its own targets")
        }
        guard driver == nil || dext == nil else {
            throw ValidationError("--driver and --dext both name a driver; use one of them")
        }
        guard name.count <= directories.count else {
            throw ValidationError("there are more names than directories; give --name once for each, in their order")
        }
        guard name.allSatisfy({ !$0.isEmpty && $0.utf8.count <= 255 }) else {
            throw ValidationError("a name has 1 to 255 bytes; use one such as --name disks")
        }
        guard driverArgument.isEmpty || driver != nil else {
            throw ValidationError("--driver-argument is for the program that --driver names; name one, or leave it out")
        }
        guard driverUser == nil || hasOwnDriver || driverHost == .process else {
            throw ValidationError(
                "--driver-user is for a driver in its own process; add --driver-host process, or leave it out")
        }
        let times = [
            ("--stop-timeout", stopTimeout, 1), ("--handshake-timeout", handshakeTimeout, 1),
            ("--keepalive", keepalive, 0), ("--lost-timeout", lostTimeout, 0),
        ]
        for (option, seconds, least) in times where !(least...Self.secondsMax).contains(seconds) {
            throw ValidationError(
                "\(option) is \(seconds) s; use a number of seconds from \(least) to \(Self.secondsMax)")
        }
        _ = try addresses()
    }

    private var hasOwnDriver: Bool { driver != nil || dext != nil }

    /// A day.
    private static let secondsMax = 86_400

    private static func seconds(_ text: String) -> ArgumentHelp { ArgumentHelp(text, valueName: "seconds") }

    func run() throws {
        var timeouts = ClientTimeouts()
        timeouts.handshakeMilliseconds = handshakeTimeout * 1000
        timeouts.keepAliveSeconds = keepalive
        try ServerRun(
            configuration: machineConfiguration(), addresses: addresses(), control: control, stopSeconds: stopTimeout,
            timeouts: timeouts
        ).run()
    }

    private func machineConfiguration() throws -> MachineConfiguration {
        var configuration = try MachineConfiguration(
            directories: directories, mode: mode, profileNameOrPath: profile, policy: constraints, engine: engine,
            log: DiagnosisLog { writeDiagnostic($0.report) })
        configuration.names = self.name
        configuration.readOnly = readOnly
        configuration.sharesTarget = luns && !directories.isEmpty
        if driverHost == .process || hasOwnDriver {
            guard configuration.mode != .kext else {
                throw OperationError("a KEXT is a part of the kernel; leave --driver-host, --driver and --dext out")
            }
            configuration.driver = try driverProgram()
            configuration.driver?.user = try driverUser.map { try SystemUser.named($0) }
        }
        configuration.force = force
        configuration.lostSeconds = lostTimeout
        configuration.trace = try trace.map { try TaskTrace.open($0, format: traceFormat) }
        configuration.alignsStages = alignStages
        configuration.writeCacheByteCount = writeCache == .on ? 64 << 20 : 0
        configuration.bufferCacheByteCount = buffered ? 256 << 20 : 0
        return configuration
    }

    private func driverProgram() throws -> DriverProgram {
        if let dext { return try DriverProgram(DextBundle(path: dext)) }
        return try driver.map { DriverProgram(path: $0, arguments: driverArgument) } ?? .reference()
    }

    private var engine: MemberEngineKind {
        switch ioEngine {
        case .auto: MemberEngineKind.detect()
        case .uring: .uring
        case .threads: .threads
        }
    }

    private func addresses() throws -> [ServerAddress] {
        do { return try ServerAddress.all(sockets: socket, hostsAndPorts: listen) } catch {
            throw ValidationError("\(error)")
        }
    }
}
