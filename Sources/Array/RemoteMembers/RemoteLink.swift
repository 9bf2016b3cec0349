import MemberIO
import Platform

/// The state that a remote member's thread shares with all others: commands that it has not taken yet, and whether the
/// server is there.
///
/// Threads: any, except where a function says "the member's thread".
final class RemoteLink: @unchecked Sendable {
    // SAFETY: all that changes is touched under `lock`; `traits` and `firstProblem` are set before `settled` is.
    let uri: String
    let isReadOnly: Bool
    let limits: RemoteTimeLimits
    let report: MessageSink
    /// Nil when a lost server is never waited for.
    let outage: (any OutageRule)?
    /// Set when the first attempt to connect has ended, whether or not it succeeded.
    let settled = OneShotEvent()
    private(set) var traits = ExportTraits()
    private let wakeup: EventFD
    private let lock = Lock()
    private var commands: [RemoteCommand] = []
    private var isAsleep = false
    private var stops = false
    private var problemText: String?
    /// Whether the lost server was reached again and nobody has asked since.
    private var hasAnswered = false

    init(
        uri: String, isReadOnly: Bool, limits: RemoteTimeLimits, outage: (any OutageRule)?,
        report: @escaping MessageSink
    ) throws(OSError) {
        self.outage = outage
        self.uri = uri
        self.isReadOnly = isReadOnly
        self.limits = limits
        self.report = report
        wakeup = try EventFD()
        commands.reserveCapacity(256)
    }

    /// Why commands are refused; nil while the server is there.
    var problem: String? { lock.withLock { problemText } }

    /// Whether a lost server answers again. True only once for each loss.
    func takeAnswer() -> Bool {
        lock.withLock {
            defer { hasAnswered = false }
            return hasAnswered
        }
    }

    // MARK: For callers

    /// Hands a lane's operations to the member's thread.
    /// - Returns: false, with nothing submitted, when there is no server.
    func submit(_ ios: UnsafeBufferPointer<MemberIO>, for outbox: RemoteOutbox) -> Bool {
        add { commands in for io in ios { commands.append(RemoteCommand(io, for: outbox)) } }
    }

    /// Hands one operation to the member's thread.
    /// - Returns: false, with nothing submitted, when there is no server.
    func submit(_ command: RemoteCommand) -> Bool { add { $0.append(command) } }

    /// Makes the member's thread end, even while it connects.
    func stop() {
        lock.withLock { stops = true }
        wakeup.signal()
    }

    /// - Returns: false, with nothing added, when there is no server.
    private func add(_ body: (inout [RemoteCommand]) -> Void) -> Bool {
        lock.lock()
        guard problemText == nil else {
            lock.unlock()
            return false
        }
        body(&commands)
        let mustWake = isAsleep
        isAsleep = false
        lock.unlock()
        // Outside of the lock, which the woken thread takes first.
        if mustWake { wakeup.signal() }
        return true
    }

    // MARK: For the member's thread

    /// Readable when there is something to do since `prepareToSleep`.
    var wakeupDescriptor: Int32 { wakeup.descriptor }

    var isStopping: Bool { lock.withLock { stops } }

    /// Connects to the server, and checks that its export can be the member.
    func connect(limit: UInt64) throws(RemoteProblem) -> NBDConnection {
        let connection = try NBDConnection(uri: uri, limit: limit, interruption: wakeupDescriptor)
        if let problem = connection.traits.problem(readOnly: isReadOnly) { throw RemoteProblem(problem) }
        return connection
    }

    /// Records the end of the first attempt to connect.
    func settle(_ result: Result<ExportTraits, RemoteProblem>) {
        switch result {
        case .success(let traits): self.traits = traits
        case .failure(let problem): lock.withLock { problemText = problem.description }
        }
        settled.set()
    }

    /// Moves the waiting commands to the end of a list.
    func take(into list: inout [RemoteCommand]) {
        lock.withLock {
            list += commands
            commands.removeAll(keepingCapacity: true)
        }
    }

    /// Records that the server is lost. No more commands are taken.
    func lose(_ problem: RemoteProblem) { lock.withLock { problemText = problem.description } }

    /// Records that the lost server answers again.
    func noteAnswer() { lock.withLock { hasAnswered = true } }

    /// Announces that the thread is going to poll the eventfd.
    /// - Returns: false when there is something to do first.
    func prepareToSleep() -> Bool {
        lock.withLock {
            isAsleep = commands.isEmpty && !stops
            return isAsleep
        }
    }

    /// Records that the thread has polled.
    /// - Parameter wasSignalled: the result of the poll.
    func noteAwake(wasSignalled: Bool) {
        lock.withLock { isAsleep = false }
        if wasSignalled { wakeup.clear() }
    }
}

/// Why there is no usable server, in words that fit after "it is".
struct RemoteProblem: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
