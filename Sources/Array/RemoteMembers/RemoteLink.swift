import MemberIO
import Platform

/// What a remote member's thread shares with all others: the commands that it has not taken yet, and whether there is a
/// server at all.
///
/// Threads: any, except where a function says "the member's thread".
final class RemoteLink: @unchecked Sendable {
    // SAFETY: all that changes is touched under `lock`; `traits` and `firstProblem` are set before `settled` is.
    let uri: String
    let isReadOnly: Bool
    let limits: RemoteTimeLimits
    let report: @Sendable (String) -> Void
    /// Nil when a lost server is never waited for.
    let outage: (any OutageRule)?
    /// Set when the first attempt to connect has ended, either way.
    let settled = Event()
    private(set) var traits = ExportTraits()
    private let bell: Bell
    private let lock = Lock()
    private var commands: [RemoteCommand] = []
    private var isAsleep = false
    private var stops = false
    private var problemText: String?
    /// The server was reached again since it was lost, and nobody has taken note of it yet.
    private var hasAnswered = false

    init(
        uri: String, isReadOnly: Bool, limits: RemoteTimeLimits, outage: (any OutageRule)?,
        report: @escaping @Sendable (String) -> Void
    ) throws(OSError) {
        self.outage = outage
        self.uri = uri
        self.isReadOnly = isReadOnly
        self.limits = limits
        self.report = report
        bell = try Bell()
        commands.reserveCapacity(256)
    }

    /// Why no command is taken; nil while the server is there.
    var problem: String? { lock.withLock { problemText } }

    /// Whether the server that was lost answers again. Says so once.
    func takeAnswer() -> Bool {
        lock.withLock {
            defer { hasAnswered = false }
            return hasAnswered
        }
    }

    // MARK: For those who want something

    /// Hands a lane's operations to the member's thread.
    /// - Returns: false when there is no server; then nothing will come of them.
    func submit(_ ios: UnsafeBufferPointer<MemberIO>, for outbox: RemoteOutbox) -> Bool {
        add { commands in for io in ios { commands.append(RemoteCommand(io, for: outbox)) } }
    }

    /// Hands one operation to the member's thread.
    /// - Returns: false when there is no server; then nothing will come of it.
    func submit(_ command: RemoteCommand) -> Bool { add { $0.append(command) } }

    /// Makes the member's thread end, also while it connects.
    func stop() {
        lock.withLock { stops = true }
        bell.ring()
    }

    /// - Returns: false when there is no server; then nothing was added.
    private func add(_ body: (inout [RemoteCommand]) -> Void) -> Bool {
        lock.lock()
        guard problemText == nil else {
            lock.unlock()
            return false
        }
        body(&commands)
        let mustRing = isAsleep
        isAsleep = false
        lock.unlock()
        // Outside of the lock, which the woken thread wants first.
        if mustRing { bell.ring() }
        return true
    }

    // MARK: For the member's thread

    /// Readable when there is something to do since `prepareToSleep`.
    var bellDescriptor: Int32 { bell.descriptor }

    var isStopping: Bool { lock.withLock { stops } }

    /// Connects to a server whose export can be the member.
    func connect(limit: UInt64) throws(RemoteProblem) -> NBDConnection {
        let connection = try NBDConnection(uri: uri, limit: limit, interruption: bellDescriptor)
        if let problem = connection.traits.problem(readOnly: isReadOnly) { throw RemoteProblem(problem) }
        return connection
    }

    /// The first attempt to connect has ended.
    func settle(_ result: Result<ExportTraits, RemoteProblem>) {
        switch result {
        case .success(let traits): self.traits = traits
        case .failure(let problem): lock.withLock { problemText = problem.description }
        }
        settled.set()
    }

    /// Moves the commands that there are to the end of a list.
    func take(into list: inout [RemoteCommand]) {
        lock.withLock {
            list += commands
            commands.removeAll(keepingCapacity: true)
        }
    }

    /// The server is lost: no more commands are taken.
    func lose(_ problem: RemoteProblem) { lock.withLock { problemText = problem.description } }

    /// The server that was lost answers again.
    func noteAnswer() { lock.withLock { hasAnswered = true } }

    /// Says that the thread is going to poll the bell.
    /// - Returns: false when there is something to do first.
    func prepareToSleep() -> Bool {
        lock.withLock {
            isAsleep = commands.isEmpty && !stops
            return isAsleep
        }
    }

    /// The thread has polled.
    /// - Parameter bellIsReadable: what the poll said.
    func wakeUp(bellIsReadable: Bool) {
        lock.withLock { isAsleep = false }
        if bellIsReadable { bell.silence() }
    }
}

/// Why there is no server, or none that can be used, in words that fit after "it is".
struct RemoteProblem: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
