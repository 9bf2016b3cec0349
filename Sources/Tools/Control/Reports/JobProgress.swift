import Glibc
import Platform
import Statistics

/// Asks for maintenance of an array and shows the job until it ends: a bar on a terminal, a line for every ten
/// hundredths elsewhere.
package struct JobProgress {
    private static let periodMicroseconds: UInt32 = 200_000
    /// Periods that a rebuild may take to begin after the server has announced it.
    private static let startPeriodCount = 50

    private let client: ControlClient
    /// By the array's name: the number of its last job before the request.
    private let jobNumbers: [String: UInt64]

    /// Notes the jobs that are there before the request.
    ///
    /// - Throws: as `ControlClient.statistics`.
    package init(_ client: ControlClient) throws {
        self.client = client
        jobNumbers = try Dictionary(
            client.statistics().arrays.map { ($0.name, $0.job?.number ?? 0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Begins a check or a repair and follows it.
    ///
    /// - Returns: whether parity was wrong.
    /// - Throws: as `ControlClient.change`; `OperationError` when the job does not end well.
    package func runParityJob(_ request: ControlRequest) throws -> Bool {
        let name = try client.change(request).array
        guard let job = try follow(name) else { return false }
        report(job, of: name)
        return job.wrongByteCount > 0
    }

    /// Adds, replaces or fails a member, and follows the rebuild that this causes, if it does.
    ///
    /// - Throws: as `runParityJob`.
    package func runMemberChange(_ request: ControlRequest) throws {
        let (message, name) = try client.change(request)
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
            do { snapshots = try client.statistics().arrays } catch let error as OperationError
                where error.kind == .unreachable
            {
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
            } else if !snapshot.hasPendingRebuild || waits == Self.startPeriodCount {
                return nil
            }
            waits += 1
            usleep(Self.periodMicroseconds)
        }
    }

    /// The error of a job whose server has ended.
    private static func stopped(_ kind: String, of name: String) -> OperationError {
        OperationError(
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
                throw OperationError(
                    "the replacement stopped at \(job.percent) %: it was cancelled, or the server was stopped (it goes "
                        + "on when \(name) is served again)")
            default: throw OperationError("the \(job.kind) was cancelled at \(job.percent) %")
            }
        case .noSpace:
            throw OperationError(
                "the \(job.kind) found no space at \(job.percent) %; free some, and it goes on by itself")
        case .failed:
            throw OperationError(
                "the \(job.kind) of \(name) ended at \(job.percent) %: \(job.reason ?? "nbdext status tells more")")
        }
    }

    private func report(_ job: JobSnapshot, of name: String) {
        guard job.wrongByteCount > 0 else { return show("the parity of \(ForeignText(name)) is right everywhere") }
        let blocks = job.wrongByteCount / 4096
        let was = job.kind == "repair" ? "was wrong and is now right" : "is wrong"
        show("the parity of \(ForeignText(name)) \(was) in \(blocks) block\(blocks == 1 ? "" : "s") of 4 KiB:")
        for place in job.wrongPlaces {
            show(
                "  member \(place.member) at byte \(place.memberByteOffset); the stripe's data begins at byte "
                    + "\(place.arrayByteOffset) of the array")
        }
        if Int(blocks) > job.wrongPlaces.count { show("  and \(Int(blocks) - job.wrongPlaces.count) more") }
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
        drawLine(ProgressBar.text(job, from: first, seconds: Double(monotonicNanoseconds() - start) / 1e9))
    }

    func end() { if isTerminal { show("") } }
}

/// A job's progress as a bar of text.
enum ProgressBar {
    private static let width = 30

    /// The bar, the rate, and the time that is left. Another process says the job's numbers, so any is possible.
    ///
    /// - Parameters:
    ///   - first: bytes of each member that were done at the beginning.
    ///   - seconds: the time since then.
    static func text(_ job: JobSnapshot, from first: UInt64, seconds: Double) -> String {
        let done = min(job.doneByteCount, job.byteCount)
        let rate = seconds > 0 ? Double(done - min(first, done)) / seconds : 0
        let left = rate > 0 ? ", \(TopReport.whole((Double(job.byteCount - done) / rate).rounded(.down))) s left" : ""
        let filled = job.percent * width / 100
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        return "\(job.kind) [\(bar)] \(job.percent) %, \(TopReport.whole((rate / 1e6).rounded(.down))) MB/s\(left)"
    }
}
