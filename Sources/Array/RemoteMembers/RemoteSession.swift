import Glibc
import MemberIO
import Platform

/// The work of a remote member's thread while it has a connection: it cuts commands into requests of a size that the
/// server takes, sends them, and hands the outcomes back.
///
/// Threads: the member's.
final class RemoteSession {
    /// The most requests that wait for answers. libnbd searches through them for each answer.
    static let piecesMax = 128
    /// The most bytes under way, unless one request is larger: a slow network can move this much within the time limit.
    private static let byteCountMax = 16 << 20
    /// The most bytes of one request, if the server allows that many.
    static let pieceByteCountMax = 4 << 20
    private static let zeroByteCountMax = 8 << 20
    private static let sentZeroByteCountMax = 1 << 20
    /// The number of taken commands at the front of the list after which the list is compacted.
    private static let waitingMax = 1024

    /// A command with bytes that wait for answers.
    private struct Task: BitwiseCopyable {
        var command: RemoteCommand
        var pieceCount = 0
        var isWholeUnderway = false
        var error: Int32 = 0
        /// For a flush: the end of the writes that it covers.
        var unflushedEnd = 0
    }

    let link: RemoteLink
    var connection: NBDConnection?
    private(set) var traits: ExportTraits
    private var canZero: Bool
    private var requestByteCountMax: Int
    /// Used only if a lost server may be waited for.
    private(set) var unflushed = UnflushedWrites()
    private var isFlushing = false
    /// The first error of a flush that the session started by itself. From then on every requested flush fails, and a
    /// lost server is not waited for.
    private var flushError: Int32 = 0
    /// The first error while `unflushed` is being written again, 0 for none yet; nil at all other times.
    private(set) var replayError: Int32?

    /// Commands for which no request was sent, from index `nextWaiting` on.
    private var waiting: [RemoteCommand] = []
    private var nextWaiting = 0
    /// The task for which more requests have to be made, and the offset of the next one.
    private var current: Int?
    private var currentByteOffset: UInt64 = 0

    private let tasks: UnsafeMutablePointer<Task>
    private var freeTasks: [Int]
    private let pieces: UnsafeMutablePointer<RemotePiece>
    private var freePieces: [Int]
    private let finished: UnsafeMutablePointer<FinishedPieces>
    private var byteCountUnderway = 0
    /// Outboxes that got outcomes and have not been woken.
    private var toWake: [RemoteOutbox] = []
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
        // One more than pieces: the current task may have no request under way.
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

    /// Serves commands until the member is not wanted any more or the server is lost. All commands have ended then.
    /// - Returns: whether the server is lost.
    func run() -> Bool {
        while true {
            // Before outcomes are handed back, so that the cause is reported before its consequences.
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
        // Requests that could not be sent have ended already.
        let mayBlock = finished.pointee.count == 0 && link.prepareToSleep()
        let limit: Int32 = !mayBlock ? 0 : hasPiecesUnderway ? Int32(checkInterval) : -1
        let outcome = connection!.wait(milliseconds: limit, wakeup: link.wakeupDescriptor)
        link.noteAwake(wasSignalled: outcome == .woken)
    }

    // MARK: Sending

    /// Makes requests of waiting commands while there is room for their answers.
    private func sendRequests() {
        while byteCountUnderway < Self.byteCountMax, let piece = freePieces.last {
            guard !isFlushing || !unflushed.isFull || replayError != nil else { return }
            guard let task = current ?? nextTask() else { return }
            freePieces.removeLast()
            send(pieces + piece, of: task)
        }
    }

    /// Takes the next waiting command.
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

    /// A request's share of the bytes under way. A block status request transfers none.
    private static func load(of piece: UnsafeMutablePointer<RemotePiece>) -> Int {
        piece.pointee.asksStatus ? 0 : piece.pointee.byteCount
    }

    private func pieceByteCountMax(of command: RemoteCommand) -> Int {
        switch command.kind {
        case .read, .write, .durableWrite: requestByteCountMax
        case .punch where command.sendsZeros, .zero where command.sendsZeros:
            min(requestByteCountMax, Self.sentZeroByteCountMax)
        case .punch, .zero: Self.zeroByteCountMax
        // The answer may cover less than the range, so there is only one request.
        case .flush, .blockStatus: .max
        }
    }

    // MARK: Answers

    /// Ends the tasks whose requests have all been answered.
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
            // The server offers WRITE_ZEROES and then refuses it. Zeros sent as data have the same effect.
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

    /// Records what has, or has not, become durable by the end of a command.
    private func note(_ command: RemoteCommand, _ error: Int32, unflushedEnd: Int) {
        if command.kind.changesMember { unflushed.forget(command.byteOffset, command.byteCount) }
        guard error == 0, flushError == 0 else { return }
        if command.kind == .flush { unflushed.flushed(below: unflushedEnd) }
        // Durable writes too: replaying an older write to the same bytes would bring old data back.
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
        case .lane(let outbox, let token, let place):
            let completion = MemberCompletion(
                token: token, place: place, status: Self.status(of: error, command.kind))
            let outbox = outbox.takeUnretainedValue()
            if outbox.add(completion) { toWake.append(outbox) }
        }
    }

    /// The status of a lane's operation that ended with an errno. A flush that finds no space has lost earlier writes.
    private static func status(of error: Int32, _ kind: RemoteCommand.Kind) -> MemberStatus {
        switch (error, kind) {
        case (0, _): .done
        case (ENOSPC, .write), (ENOSPC, .durableWrite), (ENOSPC, .punch), (ENOSPC, .zero): .noSpace
        // The server lives and cannot read this range.
        case (EIO, .read): .unreadable
        // Without a flush nothing there is durable.
        case (_, .flush): .failed
        // libnbd or the server refuses the request, which says nothing about the data.
        case (EFAULT, _), (EINVAL, _): .refused
        default: .failed
        }
    }

    /// Reports the first error only: the member may be failed for it, and further errors say nothing new.
    private func reportError(_ error: Int32, of command: RemoteCommand) {
        guard !hasReportedError, case .lane = command.recipient else { return }
        hasReportedError = true
        link.report(
            "\(link.uri): \(command.kind) of \(command.byteCount) bytes at \(command.byteOffset) failed: "
                + String(cString: strerror(error)), .warning)
    }

    private func ringOutboxes() {
        for outbox in toWake { outbox.wakeLane() }
        toWake.removeAll(keepingCapacity: true)
    }

    // MARK: Losing the server

    /// The interval between searches for overdue requests, milliseconds.
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

    /// The time limit of a request. A server that hangs may still shake hands, so the first read, for which an array
    /// waits before it is served, gets no longer than the handshake.
    private func answeringLimit(_ piece: UnsafePointer<RemotePiece>) -> UInt64 {
        hasAnswered || tasks[piece.pointee.task].command.kind != .read
            ? link.limits.answering : min(link.limits.connecting, link.limits.answering)
    }

    /// Ends the connection and then all commands. Their memory is not touched once the connection has ended.
    private func lose(_ problem: RemoteProblem) -> Bool {
        link.lose(problem)
        link.report("\(link.uri) is \(problem)", .warning)
        connection = nil
        link.take(into: &waiting)
        let free = Set(freeTasks)
        for task in 0...Self.piecesMax where !free.contains(task) { answer(tasks[task].command, ENOTCONN) }
        for command in waiting[nextWaiting...] { answer(command, ENOTCONN) }
        ringOutboxes()
        return true
    }
}

/// Waiting for a lost server.
extension RemoteSession {
    /// The pause between attempts to reach the server.
    private static let attemptMilliseconds: UInt64 = 200
    /// The time limit of one attempt. A stop waits for it to end.
    private static let connectingMilliseconds: UInt64 = 1500
    /// The time that other servers lost at the same moment may need to be noticed, where their connections end at once.
    private static let graceMilliseconds: UInt64 = 250
    /// The superblock's offset on the member (md version 1.2).
    private static let superblockByteOffset: UInt64 = 4096
    private static let superblockByteCount = 4096

    /// Waits for a lost server if the rule wants that, and resumes the work.
    /// - Returns: whether there is a connection again. All unanswered commands are waiting to be sent then.
    private func outlast(_ problem: RemoteProblem) -> Bool {
        guard let outage = link.outage, flushError == 0 else { return false }
        outage.lost(problem.description, grace: connection!.isEnded ? Self.graceMilliseconds : 2 * checkInterval)
        connection = nil
        let held = takeUnanswered()
        // These commands may or may not have been carried out.
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

    /// Takes all commands that have not been answered. Nothing is under way afterwards.
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
        var polled = pollfd(fd: link.wakeupDescriptor, events: Int16(POLLIN), revents: 0)
        poll(&polled, 1, Int32(Self.attemptMilliseconds))
        link.noteAwake(wasSignalled: polled.revents != 0)
    }

    /// Connects, checks that the member is unchanged, and writes again what it may have lost.
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

    /// Reads the superblock and the last durable writes, which tell the member from others and from its own older
    /// copies.
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

    /// Writes again the acknowledged writes that the server may have lost. Overlapping writes keep their order.
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

    /// Carries out commands of the session's own and waits for them.
    /// - Returns: whether all of them succeeded.
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
            if finished.pointee.count == 0 { _ = connection!.wait(milliseconds: 100, wakeup: -1) }
        }
    }
}
