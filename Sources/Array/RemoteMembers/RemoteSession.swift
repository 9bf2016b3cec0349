import Glibc
import MemberIO
import Platform

/// What a remote member's thread does while it has a connection: commands are cut into requests that the server takes,
/// sent, and their outcomes handed back.
///
/// Threads: the member's.
final class RemoteSession {
    /// Requests that wait for their answers, at most. libnbd looks through them for each answer.
    static let piecesMax = 128
    /// Bytes of them, at most, unless one has more: what a slow network can move within the time limit.
    private static let byteCountMax = 16 << 20
    /// Bytes of one request, at most, if the server allows as much.
    static let pieceByteCountMax = 4 << 20
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
        /// Of a flush: what it covers.
        var unflushedEnd = 0
    }

    let link: RemoteLink
    var connection: NBDConnection?
    private(set) var traits: ExportTraits
    private var canZero: Bool
    private var requestByteCountMax: Int
    /// Kept only if a lost server may be waited for.
    private(set) var unflushed = UnflushedWrites()
    private var isFlushing = false
    /// What a flush met that nobody had asked for: none that somebody asks for is answered as good from then on, and the
    /// server is not waited for.
    private var flushError: Int32 = 0
    /// Since when `unflushed` is being written again: the first error; nil while it is not.
    private(set) var replayError: Int32?

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
    private var hasAnswered = false
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
            let ending = connection!.isEnded ? RemoteProblem("lost: \(connection!.failure)") : overdue()
            if let ending {
                guard outlast(ending) else { return lose(ending) }
                continue
            }
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
            guard !isFlushing || !unflushed.isFull || replayError != nil else { return }
            guard let task = current ?? nextTask() else { return }
            freePieces.removeLast()
            send(pieces + piece, of: task)
        }
    }

    /// Takes the next command that waits.
    private func nextTask() -> Int? {
        if unflushed.mustFlush && !isFlushing && flushError == 0 && replayError == nil {
            isFlushing = true
            return begin(RemoteCommand(.flush, byteOffset: 0, byteCount: 0, memory: nil, recipient: .nobody))
        }
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
        return begin(command)
    }

    private func begin(_ command: RemoteCommand) -> Int {
        let task = freeTasks.removeLast()
        (tasks + task).initialize(to: Task(command: command))
        tasks[task].unflushedEnd = unflushed.end
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
        piece.pointee.missingByteCount = command.kind == .read ? byteCount : 0
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
            hasAnswered = true
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
        var error = tasks[task].error
        freeTasks.append(task)
        if command.kind == .flush {
            if case .nobody = command.recipient, flushError == 0 { flushError = error }
            if error == 0 { error = flushError }
        }
        let isZero = command.kind == .punch || command.kind == .zero
        if isZero && !command.sendsZeros && (error == ENOTSUP || error == EINVAL) {
            // A server that offers it and then does not: zeros as data do the same.
            canZero = false
            waiting.append(command)
            return
        }
        if link.outage != nil && replayError == nil { note(command, error, unflushedEnd: tasks[task].unflushedEnd) }
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

    /// Takes note of what is, or is not, durable since a command has ended.
    private func note(_ command: RemoteCommand, _ error: Int32, unflushedEnd: Int) {
        if command.kind.changesMember { unflushed.forget(command.byteOffset, command.byteCount) }
        guard error == 0, flushError == 0 else { return }
        if command.kind == .flush { unflushed.flushed(below: unflushedEnd) }
        // A durable write too: an older one, which it replaced, may have to be written again.
        if command.kind.changesMember { unflushed.add(command) }
    }

    private func answer(_ command: RemoteCommand, _ error: Int32) {
        switch command.recipient {
        case .nobody where replayError == nil: isFlushing = false
        case .nobody: if error != 0 && replayError == 0 { replayError = error }
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
        // Without it nothing is durable there.
        case (_, .flush): .failed
        // libnbd or the server does not take the request, which says nothing of what it keeps.
        case (EFAULT, _), (EINVAL, _): .refused
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
    private var checkInterval: UInt64 {
        min(1000, max(1, (hasAnswered ? link.limits.answering : link.limits.connecting) / 4))
    }

    private func overdue() -> RemoteProblem? {
        let now = monotonicMilliseconds()
        guard hasPiecesUnderway, now >= lastCheck + checkInterval else { return nil }
        lastCheck = now
        let free = Set(freePieces)
        for piece in 0..<Self.piecesMax where !free.contains(piece) {
            let limit = answeringLimit(pieces + piece)
            if now > pieces[piece].startTime + limit {
                let seconds = limit % 1000 == 0 ? "\(limit / 1000)" : "\(Double(limit) / 1000)"
                return RemoteProblem("lost: a request was not answered within \(seconds) s")
            }
        }
        return nil
    }

    /// A server that hangs may still shake hands. So the first read, for which an array waits before it is served, has no
    /// longer than that.
    private func answeringLimit(_ piece: UnsafePointer<RemotePiece>) -> UInt64 {
        hasAnswered || tasks[piece.pointee.task].command.kind != .read
            ? link.limits.answering : min(link.limits.connecting, link.limits.answering)
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

/// A server that is lost, and waited for.
extension RemoteSession {
    /// Between attempts to reach the server.
    private static let attemptMilliseconds: UInt64 = 200
    /// For one attempt. A stop waits for it.
    private static let connectingMilliseconds: UInt64 = 1500
    /// How long others that are lost at the same moment may take to be found out: at once where connections end.
    private static let graceMilliseconds: UInt64 = 250
    /// The superblock's place.
    private static let superblockByteOffset: UInt64 = 4096
    private static let superblockByteCount = 4096

    /// Waits for a lost server if that is wanted, and takes the work up again.
    /// - Returns: whether there is a connection again; everything that was asked for is on its way then.
    private func outlast(_ problem: RemoteProblem) -> Bool {
        guard let outage = link.outage, flushError == 0 else { return false }
        outage.lost(problem.description, grace: connection!.isEnded ? Self.graceMilliseconds : 2 * checkInterval)
        connection = nil
        let held = takeUnanswered()
        // They may have been carried out, or not.
        for command in held where command.kind.changesMember { unflushed.forget(command.byteOffset, command.byteCount) }
        defer {
            replayError = nil
            waiting = held
            nextWaiting = 0
        }
        while !link.isStopping && outage.isAwaited {
            if reconnect(outage) {
                outage.returned()
                return true
            }
            connection = nil
            _ = takeUnanswered()
            pause()
        }
        return false
    }

    /// Everything that has not been answered. Nothing is under way then.
    private func takeUnanswered() -> [RemoteCommand] {
        while finished.pointee.removeLast() != nil {}
        let free = Set(freeTasks)
        var held = (0...Self.piecesMax).filter { !free.contains($0) }.map { tasks[$0].command }
        held += waiting[nextWaiting...]
        held.removeAll { if case .nobody = $0.recipient { true } else { false } }
        freeTasks = Array(0...Self.piecesMax)
        freePieces = Array(0..<Self.piecesMax)
        byteCountUnderway = 0
        current = nil
        waiting.removeAll(keepingCapacity: true)
        nextWaiting = 0
        isFlushing = false
        return held
    }

    private func pause() {
        var polled = pollfd(fd: link.bellDescriptor, events: Int16(POLLIN), revents: 0)
        poll(&polled, 1, Int32(Self.attemptMilliseconds))
        link.wakeUp(bellIsReadable: polled.revents != 0)
    }

    /// Connects, and makes sure that the member has all that it had.
    private func reconnect(_ outage: any OutageRule) -> Bool {
        let limit = min(link.limits.connecting, Self.connectingMilliseconds)
        guard let connection = try? link.connect(limit: limit), connection.traits.byteCount >= traits.byteCount else {
            return false
        }
        self.connection = connection
        traits = connection.traits
        canZero = traits.canZero
        requestByteCountMax = min(Self.pieceByteCountMax, traits.requestByteCountMax)
        guard let proof = look(outage),
            outage.isUnchanged(superblock: proof.superblock, hasFlushedWrites: proof.hasFlushedWrites)
        else { return false }
        return writeAgain(outage)
    }

    /// Reads what tells the member from others, and from older copies of it.
    private func look(_ outage: any OutageRule) -> (superblock: [UInt8], hasFlushedWrites: Bool)? {
        let (size, count) = (Self.superblockByteCount, unflushed.witnesses.count)
        precondition(size >= UnflushedWrites.witnessByteCountMax)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size * (count + 1), alignment: 4096)
        defer { memory.deallocate() }
        var reads = [
            RemoteCommand(
                .read, byteOffset: Self.superblockByteOffset, byteCount: UInt64(size), memory: memory,
                recipient: .nobody)
        ]
        for (index, witness) in unflushed.witnesses.enumerated() {
            reads.append(
                RemoteCommand(
                    .read, byteOffset: witness.byteOffset, byteCount: witness.byteCount,
                    memory: memory + size * (index + 1), recipient: .nobody))
        }
        guard carryOut(reads, outage) else { return nil }
        let hasFlushedWrites = zip(unflushed.witnesses, reads.dropFirst()).allSatisfy { witness, read in
            memcmp(witness.memory!, read.memory!, Int(witness.byteCount)) == 0
        }
        return (Array(UnsafeRawBufferPointer(start: memory, count: size)), hasFlushedWrites)
    }

    /// Writes what the server had answered as written and may have lost. What overlaps goes one after the other.
    private func writeAgain(_ outage: any OutageRule) -> Bool {
        var batch: [RemoteCommand] = []
        for command in unflushed.commands {
            let overlaps = batch.contains { $0.overlaps(command.byteOffset, command.byteCount) }
            if overlaps || batch.count == Self.piecesMax {
                guard carryOut(batch, outage) else { return false }
                batch.removeAll(keepingCapacity: true)
            }
            batch.append(command)
        }
        return carryOut(batch, outage)
    }

    /// Does what nobody else has asked for, and waits for it.
    /// - Returns: whether all of it was done.
    private func carryOut(_ commands: [RemoteCommand], _ outage: any OutageRule) -> Bool {
        replayError = 0
        waiting = commands
        nextWaiting = 0
        while true {
            takeFinished()
            sendRequests()
            guard replayError == 0, !connection!.isEnded, overdue() == nil else { return false }
            if !hasPiecesUnderway && finished.pointee.count == 0 && nextWaiting == waiting.count { return true }
            guard !link.isStopping, outage.isAwaited else { return false }
            if finished.pointee.count == 0 { _ = connection!.wait(milliseconds: 100, bell: -1) }
        }
    }
}
