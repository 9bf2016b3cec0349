import Glibc
import MemberIO
import Platform

/// What a remote member's thread does while it has a connection: commands are cut into requests that the server takes,
/// sent, and their outcomes handed back.
///
/// Threads: the member's.
final class RemoteSession {
    /// Requests that wait for their answers, at most. libnbd looks through them for each answer.
    private static let piecesMax = 128
    /// Bytes of them, at most, unless one has more: what a slow network can move within the time limit.
    private static let byteCountMax = 16 << 20
    /// Bytes of one request, at most, if the server allows as much.
    private static let pieceByteCountMax = 4 << 20
    private static let zeroByteCountMax = 8 << 20
    private static let sentZeroByteCountMax = 1 << 20
    /// Commands that were taken from the front of the list before their places are given up.
    private static let waitingMax = 1024

    /// A command some of whose bytes wait for answers.
    private struct Task: BitwiseCopyable {
        var command: RemoteCommand
        var pieceCount = 0
        var isWholeUnderway = false
        var error: Int32 = 0
    }

    private let link: RemoteLink
    private var connection: NBDConnection?
    private let traits: ExportTraits
    private var canZero: Bool
    private let requestByteCountMax: Int

    /// Commands that no request was sent for, from `nextWaiting` on.
    private var waiting: [RemoteCommand] = []
    private var nextWaiting = 0
    /// The task that more requests have to be made for, and where the next one begins.
    private var current: Int?
    private var currentByteOffset: UInt64 = 0

    private let tasks: UnsafeMutablePointer<Task>
    private var freeTasks: [Int]
    private let pieces: UnsafeMutablePointer<RemotePiece>
    private var freePieces: [Int]
    private let finished: UnsafeMutablePointer<FinishedPieces>
    private var byteCountUnderway = 0
    /// Outboxes that got outcomes and have not been rung.
    private var toRing: [RemoteOutbox] = []
    private var lastCheck: UInt64 = 0
    private let zeros: UnsafeMutableRawPointer
    private var hasReportedError = false

    init(link: RemoteLink, connection: NBDConnection) {
        self.link = link
        self.connection = connection
        traits = connection.traits
        canZero = traits.canZero
        requestByteCountMax = min(Self.pieceByteCountMax, traits.requestByteCountMax)
        finished = .allocate(capacity: 1)
        finished.initialize(to: FinishedPieces(capacity: Self.piecesMax))
        pieces = .allocate(capacity: Self.piecesMax)
        pieces.initialize(repeating: RemotePiece(finished: finished), count: Self.piecesMax)
        freePieces = Array(0..<Self.piecesMax)
        // One more than pieces: the current one may have none under way.
        tasks = .allocate(capacity: Self.piecesMax + 1)
        freeTasks = Array(0...Self.piecesMax)
        zeros = .allocate(byteCount: Self.sentZeroByteCountMax, alignment: 4096)
        zeros.initializeMemory(as: UInt8.self, repeating: 0, count: Self.sentZeroByteCountMax)
        waiting.reserveCapacity(256)
    }

    deinit {
        finished.pointee.deallocate()
        finished.deallocate()
        pieces.deallocate()
        tasks.deallocate()
        zeros.deallocate()
    }

    private var hasPiecesUnderway: Bool { freePieces.count < Self.piecesMax }

    /// Serves commands until the member is not wanted any more, or the server is lost. All commands have ended then.
    /// - Returns: whether the server is lost.
    func run() -> Bool {
        while true {
            // Before outcomes are handed back, so that the cause is told before what follows from it.
            if connection!.isEnded { return lose(RemoteProblem("lost: \(connection!.failure)")) }
            if let problem = overdue() { return lose(problem) }
            takeFinished()
            ringOutboxes()
            link.take(into: &waiting)
            sendRequests()
            if link.isStopping && !hasPiecesUnderway {
                connection!.sayGoodbye(limit: 1000)
                connection = nil
                return false
            }
            sleep()
        }
    }

    private func sleep() {
        // What could not be sent has ended already.
        let mayBlock = finished.pointee.count == 0 && link.prepareToSleep()
        let limit: Int32 = !mayBlock ? 0 : hasPiecesUnderway ? Int32(checkInterval) : -1
        let outcome = connection!.wait(milliseconds: limit, bell: link.bellDescriptor)
        link.wakeUp(bellIsReadable: outcome == .rung)
    }

    // MARK: Sending

    /// Makes requests of what waits, as long as there is room for their answers.
    private func sendRequests() {
        while byteCountUnderway < Self.byteCountMax, let piece = freePieces.last {
            guard let task = current ?? nextTask() else { return }
            freePieces.removeLast()
            send(pieces + piece, of: task)
        }
    }

    /// Takes the next command that waits.
    private func nextTask() -> Int? {
        guard nextWaiting < waiting.count else {
            waiting.removeAll(keepingCapacity: true)
            nextWaiting = 0
            return nil
        }
        if nextWaiting == Self.waitingMax {
            waiting.removeFirst(nextWaiting)
            nextWaiting = 0
        }
        var command = waiting[nextWaiting]
        nextWaiting += 1
        if !canZero && (command.kind == .punch || command.kind == .zero) { command.sendsZeros = true }
        let task = freeTasks.removeLast()
        (tasks + task).initialize(to: Task(command: command))
        current = task
        currentByteOffset = command.byteOffset
        return task
    }

    private func send(_ piece: UnsafeMutablePointer<RemotePiece>, of task: Int) {
        let command = tasks[task].command
        let rest = command.byteOffset + command.byteCount - currentByteOffset
        let byteCount = Int(min(rest, UInt64(pieceByteCountMax(of: command))))
        piece.pointee.task = task
        piece.pointee.byteOffset = currentByteOffset
        piece.pointee.byteCount = byteCount
        piece.pointee.startTime = monotonicMilliseconds()
        piece.pointee.error = 0
        piece.pointee.asksStatus = command.kind == .blockStatus
        if case .call(let call) = command.recipient { piece.pointee.call = call }
        byteCountUnderway += Self.load(of: piece)
        tasks[task].pieceCount += 1
        currentByteOffset += UInt64(byteCount)
        if UInt64(byteCount) == rest {
            tasks[task].isWholeUnderway = true
            current = nil
        }
        let error = connection!.start(piece, of: command, zeros: zeros)
        guard error != 0 else { return }
        piece.pointee.error = error
        finished.pointee.add(piece)
    }

    /// What a request counts as among the bytes under way: the range of a question is none.
    private static func load(of piece: UnsafeMutablePointer<RemotePiece>) -> Int {
        piece.pointee.asksStatus ? 0 : piece.pointee.byteCount
    }

    private func pieceByteCountMax(of command: RemoteCommand) -> Int {
        switch command.kind {
        case .read, .write, .durableWrite: requestByteCountMax
        case .punch where command.sendsZeros, .zero where command.sendsZeros:
            min(requestByteCountMax, Self.sentZeroByteCountMax)
        case .punch, .zero: Self.zeroByteCountMax
        // The answer need not cover it, so the first request is the only one.
        case .flush, .blockStatus: .max
        }
    }

    // MARK: Answers

    /// Ends tasks all of whose requests were answered.
    private func takeFinished() {
        while let piece = finished.pointee.removeLast() {
            let task = piece.pointee.task
            if tasks[task].error == 0 { tasks[task].error = piece.pointee.error }
            tasks[task].pieceCount -= 1
            byteCountUnderway -= Self.load(of: piece)
            freePieces.append(piece - pieces)
            if tasks[task].pieceCount == 0 && tasks[task].isWholeUnderway { end(task) }
        }
    }

    private func end(_ task: Int) {
        let command = tasks[task].command
        let error = tasks[task].error
        freeTasks.append(task)
        let isZero = command.kind == .punch || command.kind == .zero
        if isZero && !command.sendsZeros && (error == ENOTSUP || error == EINVAL) {
            // A server that offers it and then does not: zeros as data do the same.
            canZero = false
            waiting.append(command)
            return
        }
        if command.kind == .durableWrite && error == 0 && !traits.canWriteThrough {
            var flush = command
            flush.kind = .flush
            flush.byteCount = 0
            waiting.append(flush)
            return
        }
        if error != 0 { reportError(error, of: command) }
        answer(command, error)
    }

    private func answer(_ command: RemoteCommand, _ error: Int32) {
        switch command.recipient {
        case .call(let call):
            let call = call.takeUnretainedValue()
            call.error = error
            call.ended.set()
        case .lane(let outbox, let token, let member):
            let completion = MemberCompletion(
                token: token, member: member, status: Self.status(of: error, command.kind))
            let outbox = outbox.takeUnretainedValue()
            if outbox.add(completion) { toRing.append(outbox) }
        }
    }

    /// What an errno means for a lane's operation. A flush that finds no space has lost what was written before.
    private static func status(of error: Int32, _ kind: RemoteCommand.Kind) -> MemberStatus {
        switch (error, kind) {
        case (0, _): .done
        case (ENOSPC, .write), (ENOSPC, .durableWrite), (ENOSPC, .punch), (ENOSPC, .zero): .noSpace
        // The server lives and says that it cannot read this.
        case (EIO, .read): .unreadable
        default: .failed
        }
    }

    /// The first error is told, since it may be what the member is failed for; more of them say nothing new.
    private func reportError(_ error: Int32, of command: RemoteCommand) {
        guard !hasReportedError, case .lane = command.recipient else { return }
        hasReportedError = true
        link.report(
            "\(link.uri): \(command.kind) of \(command.byteCount) bytes at \(command.byteOffset) failed: "
                + String(cString: strerror(error)))
    }

    private func ringOutboxes() {
        for outbox in toRing { outbox.ring() }
        toRing.removeAll(keepingCapacity: true)
    }

    // MARK: Losing the server

    /// How often to look for requests that were not answered in time.
    private var checkInterval: UInt64 { min(1000, max(1, link.limits.answering / 4)) }

    private func overdue() -> RemoteProblem? {
        let now = monotonicMilliseconds()
        guard hasPiecesUnderway, now >= lastCheck + checkInterval else { return nil }
        lastCheck = now
        let free = Set(freePieces)
        for piece in 0..<Self.piecesMax where !free.contains(piece) {
            if now > pieces[piece].startTime + link.limits.answering {
                return RemoteProblem("lost: a request was not answered within \(link.limits.answering / 1000) s")
            }
        }
        return nil
    }

    /// Ends the connection, then all commands: their memory is not touched after the first.
    private func lose(_ problem: RemoteProblem) -> Bool {
        link.lose(problem)
        link.report("\(link.uri) is \(problem)")
        connection = nil
        link.take(into: &waiting)
        let free = Set(freeTasks)
        for task in 0...Self.piecesMax where !free.contains(task) { answer(tasks[task].command, ENOTCONN) }
        for command in waiting[nextWaiting...] { answer(command, ENOTCONN) }
        ringOutboxes()
        return true
    }
}
