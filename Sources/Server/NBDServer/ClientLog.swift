import Glibc
import NBDProtocol
import Platform

/// Reports refused and lost connections and refused requests, a line each. Clients that come back again and again do
/// not fill the log: beyond `lineCountMax` lines in a period, lines are left out and counted.
///
/// Threads: any.
final class ClientLog: @unchecked Sendable {
    // SAFETY: what changes is touched under `lock`.

    /// The most lines in a period.
    static let lineCountMax = 100
    /// The length of a period.
    static let periodMilliseconds: UInt64 = 60_000

    private let report: @Sendable (String) -> Void
    private let lock = Lock()
    private var periodStart: UInt64 = 0
    private var lineCount = 0
    private var omittedCount = 0

    /// - Parameter report: writes a line. It may block, and is called on the caller's thread, without a lock.
    init(report: @escaping @Sendable (String) -> Void) { self.report = report }

    /// Reports a line, unless there were too many in this period.
    /// - Parameter milliseconds: the time now.
    func write(_ line: String, at milliseconds: UInt64 = monotonicMilliseconds()) {
        let (isLeftOut, omitted) = lock.withLock { () -> (Bool, Int) in
            guard milliseconds - periodStart >= Self.periodMilliseconds || lineCount == 0 else {
                lineCount += 1
                guard lineCount > Self.lineCountMax else { return (false, 0) }
                omittedCount += 1
                return (true, 0)
            }
            periodStart = milliseconds
            lineCount = 1
            defer { omittedCount = 0 }
            return (false, omittedCount)
        }
        if omitted > 0 { report(Self.text(omitted)) }
        if !isLeftOut { report(line) }
    }

    /// Says how many lines were left out since the last one. Nothing is written after it.
    func finish() {
        let omitted = lock.withLock { omittedCount }
        if omitted > 0 { report(Self.text(omitted)) }
    }

    private static func text(_ count: Int) -> String {
        "\(count) message\(count == 1 ? " about a client was" : "s about clients were") left out: there were more than "
            + "\(lineCountMax) in a minute"
    }
}

/// A connection's lines in the log: the first of each kind of refusal, and why the connection ended.
///
/// Threads: the connection's; `note` under the connection's lock.
struct ConnectionLog {
    /// What is refused alike is logged once. Numbers that the protocol does not know are one kind, so that there are
    /// few kinds.
    private struct RequestKind: Hashable {
        var command: NBDCommand?
        var refusal: RequestRefusal
    }

    private struct OptionKind: Hashable {
        var option: NBDOption?
        var reply: NBDOptionReply
    }

    private let log: ClientLog
    /// "connection 3 (192.0.2.1:40000)"
    private let name: String
    private var requestKinds: Set<RequestKind> = []
    private var optionKinds: Set<OptionKind> = []
    private var noted: [(header: RequestHeader, refusal: RequestRefusal)] = []

    /// - Parameters:
    ///   - number: the connection's number.
    ///   - client: who has connected (`clientName`).
    init(_ log: ClientLog, number: Int, client: String) {
        self.log = log
        name = "connection \(number) (\(client))"
    }

    /// Whether `note` has something new for `writeNoted`.
    var hasNoted: Bool { !noted.isEmpty }

    /// Notes a refused request, to be written without the lock.
    mutating func note(_ header: RequestHeader, _ refusal: RequestRefusal) {
        let kind = RequestKind(command: header.command.isKnown ? header.command : nil, refusal: refusal)
        if requestKinds.insert(kind).inserted { noted.append((header, refusal)) }
    }

    /// Writes a line for each request that was noted.
    mutating func writeNoted(_ export: ExportDescription) {
        for (header, refusal) in noted { log.write("\(name): \(refusal.text(of: header, to: export))") }
        noted = []
    }

    /// Writes a line for each kind of refused option.
    /// - Parameter detail: more about the reason.
    mutating func write(_ refusals: [OptionRefusal], detail: String) {
        for refusal in refusals {
            let kind = OptionKind(option: refusal.option.isKnown ? refusal.option : nil, reply: refusal.reply)
            guard optionKinds.insert(kind).inserted else { continue }
            log.write("\(name): \(refusal)" + (refusal.reply == .errPolicy ? detail : ""))
        }
    }

    /// Writes why the connection has ended: "was lost: ...", "was ended: ...".
    func writeEnd(_ text: String) { log.write("\(name) \(text)") }
}

/// Why the requests of a connection end.
enum ConnectionEnd: Equatable {
    /// The client has sent NBD_CMD_DISC.
    case disconnected
    /// The server stops, or has cut the connection off and said why.
    case stopped
    /// The client has closed its side of the connection without NBD_CMD_DISC.
    case closed
    /// The connection is broken, with the errno of the call that noticed it.
    case broken(Int32)
    /// The client has broken the protocol.
    case violation(ProtocolViolation)

    /// What the log says of it; nil for an end in order.
    /// - Parameters:
    ///   - requestCount: requests that are under way.
    ///   - isInRequest: whether a part of a request has come.
    func text(requestCount: Int, isInRequest: Bool) -> String? {
        var circumstances = isInRequest ? ", in the middle of a request" : ""
        if requestCount > 0 {
            circumstances += ", with \(requestCount) request\(requestCount == 1 ? "" : "s") not answered"
        }
        return switch self {
        case .disconnected, .stopped: nil
        case .closed: "was lost: the client closed it without NBD_CMD_DISC" + circumstances
        case .broken(let code): "was lost: " + String(cString: strerror(code)) + circumstances
        case .violation(let violation): "was ended: \(violation)"
        }
    }
}
