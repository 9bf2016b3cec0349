import ArgumentParser
import Glibc
import NBDServer
import Platform
import Statistics

/// Shows how a job of maintenance goes, until it ends: a bar on a terminal, a line every ten hundredths elsewhere.
struct JobProgress {
    private static let periodMicroseconds: UInt32 = 200_000
    /// How long a rebuild may take to begin after the server has said that it will.
    private static let startPeriods = 50

    private let array: ArrayOptions
    /// By the array's name: jobs before the command.
    private let jobNumbers: [String: UInt64]

    init(_ array: ArrayOptions) throws {
        self.array = array
        jobNumbers = try Dictionary(
            Self.snapshots(array).map { ($0.name, $0.job?.number ?? 0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Begins a check or a repair and follows it.
    func run(_ command: String) throws {
        let name = try array.send(command).name
        guard let job = try follow(name) else { return }
        report(job, of: name)
        if job.wrongByteCount > 0 && job.kind == "check" { throw ExitCode(1) }
    }

    /// Adds or replaces a member or takes one out of service, and follows the rebuild that this causes, if it does.
    func run(_ command: String, _ arguments: [String]) throws {
        let (name, message) = try array.send(command, arguments)
        show(ForeignText(message).description)
        guard let job = try follow(name) else { return }
        let member = "member \(job.member ?? 0) of \(ForeignText(name))"
        let copied = ByteSize(byteCount: job.rebuiltByteCount)
        guard let regions = job.regions else {
            return show("\(member) is \(job.kind == "replace" ? "replaced" : "rebuilt"), \(copied) were copied")
        }
        show("\(member) is re-added: \(regions.written) of \(regions.total) regions differed, \(copied) were copied")
    }

    /// - Returns: the job as it was when it ended; nil when none began.
    private func follow(_ name: String) throws -> JobSnapshot? {
        let display = ProgressDisplay()
        var waits = 0
        var kind = "rebuild"
        while true {
            let snapshots: [ArraySnapshot]
            do { snapshots = try Self.snapshots(array) } catch is ControlSocket.ServerIsGone {
                display.end()
                throw Self.stopped(kind, of: name)
            }
            guard let snapshot = snapshots.first(where: { $0.name == name }) else { return nil }
            if let job = snapshot.job, job.number > jobNumbers[name] ?? 0 {
                kind = job.kind
                display.draw(job)
                if job.state != .running {
                    display.end()
                    try checkEnd(job, of: name)
                    return job
                }
            } else if !snapshot.hasPendingRebuild || waits == Self.startPeriods {
                return nil
            }
            waits += 1
            usleep(Self.periodMicroseconds)
        }
    }

    /// What a server that ends leaves of a job.
    private static func stopped(_ kind: String, of name: String) -> ServerError {
        ServerError(
            "the \(kind) stopped with the server"
                + (kind == "rebuild" ? "; it goes on when \(name) is served again" : ""))
    }

    private func checkEnd(_ job: JobSnapshot, of name: String) throws {
        switch job.state {
        case .running, .done: break
        case .cancelled:
            switch job.kind {
            case "rebuild": throw Self.stopped(job.kind, of: name)
            case "replace":
                throw ServerError(
                    "the replacement stopped at \(job.percent) %: it was cancelled, or the server was stopped and goes on "
                        + "with it when \(name) is served again")
            default: throw ServerError("the \(job.kind) was cancelled at \(job.percent) %")
            }
        case .noSpace:
            throw ServerError("the \(job.kind) found no space at \(job.percent) %; free some, and it goes on by itself")
        case .failed:
            throw ServerError(
                "the \(job.kind) of \(name) ended at \(job.percent) %: \(job.reason ?? "nbdext status tells more")")
        }
    }

    private func report(_ job: JobSnapshot, of name: String) {
        guard job.wrongByteCount > 0 else { return show("the parity of \(ForeignText(name)) is right everywhere") }
        let blocks = job.wrongByteCount / 4096
        let was = job.kind == "repair" ? "was wrong and is right now" : "is wrong"
        show("the parity of \(ForeignText(name)) \(was) in \(blocks) block\(blocks == 1 ? "" : "s") of 4 KiB:")
        for place in job.wrongPlaces {
            show(
                "  member \(place.member) at byte \(place.memberByteOffset); the stripe's data begins at byte "
                    + "\(place.arrayByteOffset) of the array")
        }
        if Int(blocks) > job.wrongPlaces.count { show("  and \(Int(blocks) - job.wrongPlaces.count) more") }
    }

    private static func snapshots(_ array: ArrayOptions) throws -> [ArraySnapshot] {
        try ControlSocket.statistics(from: array.socketPath).arrays
    }
}

/// One job's progress on standard output.
private final class ProgressDisplay {
    private let isTerminal = isatty(STDOUT_FILENO) != 0
    private let start = monotonicNanoseconds()
    private var firstByteCount: UInt64?
    private var shownTenth = -1

    func draw(_ job: JobSnapshot) {
        let first = firstByteCount ?? job.doneByteCount
        firstByteCount = first
        guard isTerminal else {
            if job.percent / 10 > shownTenth {
                shownTenth = job.percent / 10
                show("\(ForeignText(job.kind)) \(job.percent) %")
                fflush(nil)
            }
            return
        }
        let seconds = Double(monotonicNanoseconds() - start) / 1e9
        let rate = seconds > 0 ? Double(job.doneByteCount - min(first, job.doneByteCount)) / seconds : 0
        let left = rate > 0 ? ", \(Int(Double(job.byteCount - job.doneByteCount) / rate)) s left" : ""
        let filled = job.percent * 30 / 100
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
        drawLine("\(job.kind) [\(bar)] \(job.percent) %, \(Int(rate / 1e6)) MB/s\(left)")
    }

    func end() { if isTerminal { show("") } }
}
