import EmulatedMachine
import Glibc
import Platform

/// Takes a server's signals, on a thread that is there before the server begins to start, and sees to it that a stop
/// ends in time.
///
/// SIGTERM, SIGINT and SIGHUP end the server; a second signal ends it at once. SIGUSR1 shows the server's state.
///
/// Threads: one of its own. The methods are for the control thread.
final class ServerSignals: @unchecked Sendable {
    // SAFETY: `machine` under `lock`.

    /// The share of the time for a stop that clients have to take their replies, in hundredths.
    private static let clientsPercent = 60
    /// The share of that time after which a driver that delays the stop is ended.
    private static let driverPercent = 80
    /// The time that the last flush of slow members may take longer. After that they are taken to hang.
    private static let flushMilliseconds: UInt64 = 60_000
    /// The pause between two looks at a stop that is under way.
    private static let lookMilliseconds = 100

    /// The server's start, which a signal cancels.
    let startUp = StartUp()
    private let stopMilliseconds: UInt64
    private let endRequested = OneShotEvent()
    private let lock = Lock()
    private var machine: Machine?

    /// Has to be called before any other thread is started, since new threads inherit the blocked signals.
    ///
    /// - Parameter stopSeconds: the time for a stop.
    /// - Throws: `OSError` when there is no thread left.
    init(stopSeconds: Int) throws {
        stopMilliseconds = UInt64(stopSeconds) * 1000
        signal(SIGPIPE, SIG_IGN)
        // A member that may grow no further reports an error instead.
        signal(SIGXFSZ, SIG_IGN)
        let signals = Self.signals()
        withUnsafePointer(to: signals) { _ = pthread_sigmask(SIG_BLOCK, $0, nil) }
        try OSThread(name: "signals") { [self] in run(signals) }.detach()
    }

    /// The time that clients have to take their replies when the server stops.
    var clientMilliseconds: Int { Int(stopMilliseconds) * Self.clientsPercent / 100 }

    /// Lets SIGUSR1 show a machine.
    func isReady(_ machine: Machine) { lock.withLock { self.machine = machine } }

    /// Whether a signal has asked for the end.
    var mustEnd: Bool { endRequested.isSet }

    /// Returns when a signal asks for the end.
    func waitForEnd() { endRequested.wait() }

    private static func signals() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGUSR1] { sigaddset(&set, number) }
        // nohup ignores SIGHUP, and that stays so.
        var action = sigaction()
        sigaction(SIGHUP, nil, &action)
        let isIgnored = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
        if !isIgnored { sigaddset(&set, SIGHUP) }
        return set
    }

    private func run(_ signals: sigset_t) {
        var signals = signals
        var number: Int32 = 0
        repeat {
            sigwait(&signals, &number)
            if number == SIGUSR1 { showState() }
        } while number == SIGUSR1
        let began = monotonicMilliseconds()
        let why =
            switch number {
            case SIGINT: "interrupted"
            case SIGHUP: "the terminal was closed"
            default: "terminated"
            }
        let what = lock.withLock { machine } == nil ? "ending the start" : "finishing what clients have sent"
        endRequested.set()
        startUp.cancel()
        writeMessage("\(why); \(what)")
        while true {
            var pause = timespec(tv_sec: 0, tv_nsec: Self.lookMilliseconds * 1_000_000)
            let next = sigtimedwait(&signals, nil, &pause)
            if next == SIGUSR1 { showState() } else if next > 0 { _exit(128 + next) }
            supervise(monotonicMilliseconds() - began)
        }
    }

    /// Ends whatever delays a stop beyond its time.
    private func supervise(_ elapsed: UInt64) {
        guard let machine = lock.withLock({ machine }) else {
            if elapsed < stopMilliseconds { return }
            writeMessage(
                "\(startUp.picture) does not end; the array may be dirty, and is then checked when it is served",
                level: .error)
            _exit(EXIT_FAILURE)
        }
        if elapsed >= stopMilliseconds * UInt64(Self.driverPercent) / 100 { machine.endWaitingForDriver() }
        if elapsed < stopMilliseconds + Self.flushMilliseconds { return }
        writeMessage(
            "a member does not answer; arrays that are not stopped yet are dirty, and are checked when they are "
                + "served again", level: .error)
        _exit(EXIT_FAILURE)
    }

    private func showState() {
        if let machine = lock.withLock({ machine }) { return writeDiagnostic(machine.dump()) }
        writeMessage("starting: \(startUp.picture)", level: .info)
    }
}
