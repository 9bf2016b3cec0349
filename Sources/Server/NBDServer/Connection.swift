import BlockStorage
import CLinux
import Glibc
import NBDProtocol
import Platform
import Synchronization

/// One client's connection: receives requests, submits them in batches, and sends the replies.
///
/// It has a thread, a lane and buffers only while it has requests (`LaneLender`); otherwise it is one of `IdleClients`.
///
/// Threads: `run` has a thread to itself. While it is awake it sends the replies, because it has the memory in its
/// cache, and only its own client can hold it up. Completions arrive on any thread. A completing thread that finds the
/// connection's thread asleep sends the replies itself; `SlowClients` takes over when the client is slow.
///
/// Locks: `lock` guards chunks, free tags and the reply queue. It is held for a batch's bookkeeping, and never across a
/// system call, except to wake another connection that waits for memory.
final class Connection: BlockCompletionReceiver, @unchecked Sendable {
    // SAFETY: `window`, `lane`, `adaptivePoll`, `batch` and `log` belong to the connection's thread. What `lock` guards
    // is named above. The batch being sent belongs to the thread that set `isSending`.

    /// The payload bytes at which a batch ends, so that payloads are still in the cache when they are sent.
    static let batchByteCountMax = 512 << 10
    /// The pause after which a client is idle.
    private static let idleMilliseconds: Int32 = 250

    let state: ConnectionState
    private let handshake: Handshake
    let slowClients: SlowClients

    var export: ExportDescription!
    var isStructured = false
    /// Nil during the handshake, and while the connection is idle or waits for a lane.
    private(set) var lane: (any BlockLane)!
    private let lender: LaneLender
    /// When the connection borrowed its lane, in milliseconds.
    private var borrowedMilliseconds: UInt64 = 0
    /// What is behind the chosen export; nil during the handshake.
    private var service: (any BlockService)?
    let lock = Lock()
    var chunks: PayloadChunks!
    var requests: UnsafeMutablePointer<PendingRequest>!
    /// The lane's, by tag.
    var blocks: UnsafeMutablePointer<BlockRequest>!
    var freeTags: TagList!
    var capacity = 0
    /// Tags whose replies wait to be sent. Under `lock`.
    var replies: Ring<UInt16>!
    /// Belongs to the sender.
    private var replyBatch: ReplyBatch!
    private var isSending = false
    /// Whether the connection's thread will look at the reply queue without being woken. Under `lock`.
    private var isAwake = true
    /// Wakes the connection's thread when it waits for tags or memory.
    private var wakeup: EventFD!
    /// Replies sent so far. Each has freed a tag, and perhaps memory. Under `lock`.
    private var sentCount: UInt64 = 0
    /// The value of `sentCount` when there was no room. Under `lock`.
    private var fullCount: UInt64 = 0
    /// Whether the connection's thread sleeps until there is room. Under `lock`.
    private var isWaitingForRoom = false
    /// Bytes moved over the socket so far, in both directions.
    let movedByteCount = Atomic<Int>(0)
    /// `movedByteCount` and the time at the last progress, while the client keeps shared memory; nil otherwise. Used by
    /// `isStalled` only.
    var lastProgress: (byteCount: Int, milliseconds: UInt64)?
    var window = ReceiveWindow()
    /// The requests that go to the lane together.
    var batch: TagList!
    private var adaptivePoll = AdaptivePoll()
    private let connectionCount: ConnectionCount
    /// Bytes still to be received during a stop: what the socket held when the thread noticed the stop. Nil before.
    private var lastByteCount: Int?
    private let memory: PayloadMemory
    /// The connection's number, for messages.
    let number: Int
    /// Belongs to the connection's thread.
    var log: ConnectionLog

    init(
        number: Int, descriptor: Int32, services: [any BlockService], exports: [ExportDescription],
        handshakeMilliseconds: Int, slowClients: SlowClients, connectionCount: ConnectionCount, lender: LaneLender,
        memory: PayloadMemory, log: ConnectionLog
    ) {
        self.lender = lender
        self.log = log
        self.connectionCount = connectionCount
        self.memory = memory
        self.number = number
        state = ConnectionState(descriptor: descriptor)
        handshake = Handshake(
            state: state, services: services, exports: exports, lender: lender, milliseconds: handshakeMilliseconds)
        self.slowClients = slowClients
    }

    /// Serves the client until it leaves, breaks the protocol, its state says that it ends, or the lane is given back.
    /// - Parameter isItsTurn: a lane was given back for this connection.
    func run(isItsTurn: Bool) -> ConnectionPause {
        guard service != nil || isAdmitted(), let service else { return .ended }
        var isItsTurn = isItsTurn
        while true {
            do {
                if lane == nil {
                    let borrowed = try lender.borrow(for: self, isItsTurn: isItsTurn) {
                        try service.makeLane(receiver: self)
                    }
                    // Without a lane, the connection belongs to the thread of its turn already.
                    guard let borrowed else { return .waitsForLane }
                    lane = borrowed
                }
            } catch {
                log.writeEnd("was ended: \(error)")
                return .ended
            }
            takeUp(service)
            let end = serve()
            if let end, !state.isCutOff, let text = describe(end) { log.writeEnd(text) }
            drain()
            let hasBytes = layDown()
            if end != nil { return .ended }
            guard hasBytes || nbdext_readable_byte_count(state.descriptor) > 0 else { return .idle }
            isItsTurn = false
        }
    }

    /// Has the handshake with the client.
    /// - Returns: whether the client may send requests.
    private func isAdmitted() -> Bool {
        guard let admission = handshake.run(receiver: self, log: &log) else { return false }
        export = admission.export
        service = admission.service
        isStructured = admission.isStructured
        lane = admission.lane
        wakeup = admission.wakeup
        window.early = admission.rest
        nbdext_set_receive_timeout(state.descriptor, Self.idleMilliseconds)
        return true
    }

    /// Prepares for requests: the lane was borrowed just now.
    private func takeUp(_ service: any BlockService) {
        connectionCount.enter()
        borrowedMilliseconds = monotonicMilliseconds()
        capacity = lane.requestCapacity
        batch = TagList(capacity: capacity)
        requests = .allocate(capacity: capacity)
        requests.initialize(repeating: PendingRequest(), count: capacity)
        blocks = lane.requests
        lock.withLock {
            freeTags = TagList(capacity: capacity)
            for tag in (0..<UInt16(capacity)).reversed() { freeTags.append(tag) }
            replies = Ring(minimumCapacity: capacity)
            replyBatch = ReplyBatch(requestCapacity: capacity)
            chunks = PayloadChunks(arena: service.arena, memory: memory, wakeup: wakeup)
        }
    }

    /// Gives lane and buffers back. No request is under way. What the window holds is kept for the next time.
    /// - Returns: whether it holds anything.
    private func layDown() -> Bool {
        assert(freeTags.count == capacity && replies.isEmpty, "a request is under way")
        lane.close()
        lane = nil
        lock.withLock {
            if window.byteCount > 0 {
                let received = chunks.extent(window.chunk)[window.start..<window.end]
                window.early.insert(contentsOf: received, at: 0)
            }
            window = ReceiveWindow(early: window.early)
            chunks.removeAll()
            chunks = nil
            replies.deallocate()
            replyBatch.deallocate()
            freeTags.deallocate()
        }
        batch.deallocate()
        requests.deallocate()
        connectionCount.leave()
        lender.giveBack()
        return !window.early.isEmpty
    }

    /// Looks at the socket of an idle client, which is readable. Does not block.
    /// - Returns: whether the connection is over; otherwise it needs a thread.
    func endsWhileIdle() -> Bool {
        guard let end = state.endOfIdleStream() else { return false }
        if !state.isCutOff, let text = end.text(requestCount: 0, isInRequest: false) { log.writeEnd(text) }
        return true
    }

    /// Whether the client keeps shared memory that others wait for and that only the client can release. This is so
    /// when a part of a large request is missing and the socket holds no bytes, or when the client has not taken its
    /// replies. Any thread, while the descriptor is open.
    /// - Parameter waiterCount: connections that wait for memory; this one may be among them.
    func keepsSharedMemory(fromWaiters waiterCount: Int) -> Bool {
        let (sends, receives) = lock.withLock { () -> (Bool, Bool) in
            guard chunks != nil, chunks.sharedByteCount > 0, waiterCount > (chunks.isWaiting ? 1 : 0) else {
                return (false, false)
            }
            return (isSending, window.lacksBytes && chunks.isLarge(window.chunk))
        }
        return sends || receives && nbdext_readable_byte_count(state.descriptor) == 0
    }

    // MARK: Requests

    /// Serves requests until there are no more.
    /// - Returns: nil when the lane is to be given back, and there may be more later.
    private func serve() -> ConnectionEnd? {
        while !state.isBroken {
            if lender.isWanted && turnIsOver { return nil }
            let parsed = lock.withLock {
                isAwake = true
                let parsed = parse()
                if case .needsRoom = parsed { fullCount = sentCount }
                return parsed
            }
            if batch.count > 0 {
                lane.submit(batch.all)
                batch.removeAll()
            }
            sendReplies()
            if log.hasNoted { log.writeNoted(export) }
            switch parsed {
            case .more: continue
            case .needsBytes:
                switch receiveMore() {
                case .more: continue
                case .idle: return nil
                case .end(let end): return end
                }
            case .needsRoom: waitForRoom(watchingClient: true)
            case .end(let end): return end
            }
        }
        return state.brokenEnd
    }

    /// Whether the connection has had its lane long enough for one that others want. A large request that has partly
    /// come is received first, since it has its memory.
    private var turnIsOver: Bool {
        monotonicMilliseconds() - borrowedMilliseconds >= LaneLender.turnMilliseconds
            && window.requestByteCount <= ReceiveWindow.ordinaryByteCountMax
    }

    /// What the log says of an end; nil for an end in order.
    private func describe(_ end: ConnectionEnd) -> String? {
        let requestCount = lock.withLock { capacity - freeTags.count }
        return end.text(requestCount: requestCount, isInRequest: window.byteCount > 0)
    }

    /// Blocks until a request of this connection ends, memory is granted, or the client leaves.
    private func waitForRoom(watchingClient: Bool) {
        sendReplies()
        if lane.hasOutstandingWork {
            lane.wait(orReadable: -1)
            return sendReplies()
        }
        let mustWait = lock.withLock {
            guard sentCount == fullCount, fallAsleep().maySleep else { return false }
            isWaitingForRoom = true
            return true
        }
        guard mustWait else { return }
        var polls = [pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)]
        if watchingClient {
            // POLLHUP or POLLERR: the client takes no more replies. The end of its stream alone is no such sign: the
            // client may have no more requests.
            polls.append(pollfd(fd: state.descriptor, events: 0, revents: 0))
        }
        _ = poll(&polls, nfds_t(polls.count), -1)
        if polls[0].revents != 0 { wakeup.clear() }
        if watchingClient, polls[1].revents != 0 {
            state.breakOff(errno: EPIPE)
        }
        lock.withLock {
            isWaitingForRoom = false
            isAwake = true
        }
    }

    /// Waits for every request to end and for every reply to be sent, unless the client is gone.
    private func drain() {
        lock.withLock { chunks.stopWaiting() }
        while lock.withLock({
            fullCount = sentCount
            return freeTags.count < capacity
        }) { waitForRoom(watchingClient: false) }
    }

    /// Receives into the window; waits for bytes or for I/O of the lane.
    private func receiveMore() -> ReceiveResult {
        var memory: UnsafeMutableRawBufferPointer?
        var rest = lock.withLock {
            memory = prepareWindow()
            if memory == nil { fullCount = sentCount }
            // What came with the handshake needs no sleep.
            return memory == nil || !window.early.isEmpty ? Rest(maySleep: false, isIdle: false) : fallAsleep()
        }
        guard let memory else {
            waitForRoom(watchingClient: true)
            return .more
        }
        if !window.early.isEmpty {
            window.takeEarly(into: memory)
            return .more
        }
        while true {
            guard let limit = receiveLimit(memory.count) else { return .end(.stopped) }
            if rest.maySleep {
                let count = receive(
                    into: UnsafeMutableRawBufferPointer(rebasing: memory[..<limit]), isIdle: rest.isIdle)
                if count > 0 {
                    window.end += count
                    lastByteCount? -= count
                    movedByteCount.add(count, ordering: .relaxed)
                    return .more
                }
                if count == 0 { return .end(state.endOfStream) }
                if errno == EAGAIN || errno == EWOULDBLOCK {
                    let isIdle = lock.withLock {
                        isAwake = true
                        return freeTags.count == capacity && window.byteCount == 0
                    }
                    guard lane.hasOutstandingWork else { return isIdle ? .idle : .more }
                    lane.wait(orReadable: state.descriptor)
                } else if errno != EINTR {
                    return .end(.broken(errno))
                }
            } else {
                sendReplies()
            }
            rest = lock.withLock { fallAsleep() }
        }
    }

    /// Like recv(2): does not block while the lane has work outstanding, or is idle and wanted by others. It may poll
    /// for a while before it blocks, if no request is under way and each client can have a processor.
    private func receive(into memory: UnsafeMutableRawBufferPointer, isIdle: Bool) -> Int {
        lane.hasOutstandingWork || isIdle && lender.isWanted
            ? recv(state.descriptor, memory.baseAddress!, memory.count, Int32(MSG_DONTWAIT))
            : adaptivePoll.receive(state.descriptor, into: memory, mayPoll: isIdle && connectionCount.leavesRoom)
    }

    /// Limits a receive of `count` bytes during a stop: a TCP client that keeps sending could delay the stop for ever.
    /// - Returns: the bytes that may be received; nil when the server stops and everything that had arrived is
    ///   received.
    private func receiveLimit(_ count: Int) -> Int? {
        guard state.isFinishing else { return count }
        let left = lastByteCount ?? Int(nbdext_readable_byte_count(state.descriptor))
        lastByteCount = left
        return left > 0 ? min(count, left) : nil
    }

    /// The state of the connection's thread when it has nothing to do.
    private struct Rest {
        var maySleep: Bool
        /// No request is under way.
        var isIdle: Bool
    }

    /// Under `lock`: leaves the reply queue to other threads, unless it holds replies that no thread is sending.
    private func fallAsleep() -> Rest {
        // The sending thread also takes replies that are queued meanwhile. Looking again until then would keep a
        // processor busy.
        isAwake = !replies.isEmpty && !isSending
        return Rest(maySleep: !isAwake, isIdle: freeTags.count == capacity)
    }

    // MARK: Replies

    func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {
        let mustSend = lock.withLock {
            for completion in completions {
                let request = requests + Int(completion.tag)
                request.pointee.error = NBDError(completion.error)
                // A read's memory is sent first.
                if case .read = blocks[Int(completion.tag)].operation {} else { releaseChunk(request) }
                replies.append(completion.tag)
            }
            if isAwake || isSending { return false }
            isSending = true
            replyBatch.begin(from: &replies, requests, blocks, isStructured: isStructured)
            return true
        }
        if mustSend && !resumeSending() { slowClients.add(self) }
    }

    func releaseChunk(_ request: UnsafeMutablePointer<PendingRequest>) {
        if request.pointee.chunk >= 0 { chunks.release(request.pointee.chunk) }
        request.pointee.chunk = -1
    }

    /// On the connection's thread: sends the queued replies unless another thread does. It blocks on a slow client only
    /// if its lane has no work outstanding and it is not in the queue for memory, because it must fetch granted memory
    /// at once.
    private func sendReplies() {
        let mayBlock = lock.withLock { () -> Bool? in
            guard !isSending, !replies.isEmpty else { return nil }
            isSending = true
            replyBatch.begin(from: &replies, requests, blocks, isStructured: isStructured)
            return !chunks.isWaiting
        }
        guard let mayBlock else { return }
        while mayBlock && !lane.hasOutstandingWork {
            _ = sendBatch(blocking: true)
            if !nextBatch() { return }
        }
        if !resumeSending() { slowClients.add(self) }
    }

    /// Sends the rest of the batch.
    /// - Returns: false when the client takes no more for now.
    private func sendBatch(blocking: Bool) -> Bool {
        if state.isBroken { return true }
        switch replyBatch.send(to: state.descriptor, blocking: blocking, counting: movedByteCount) {
        case .all: return true
        case .full: return false
        case .broken(let code):
            state.breakOff(errno: code)
            return true
        }
    }

    /// Sends batches until none is queued or the client takes no more. The calling thread is the sender; it may be any.
    /// - Returns: whether everything is sent.
    func resumeSending() -> Bool {
        repeat {
            guard sendBatch(blocking: false) else { return false }
        } while nextBatch()
        return true
    }

    /// Frees the tags of the batch that was sent, and takes the next batch.
    /// - Returns: false when there is none; then the thread is no longer the sender.
    private func nextBatch() -> Bool {
        let (hasMore, mustWake) = lock.withLock {
            for tag in replyBatch.tags {
                releaseChunk(requests + Int(tag))
                freeTags.append(tag)
            }
            sentCount &+= UInt64(replyBatch.tags.count)
            isSending = !replies.isEmpty
            if isSending { replyBatch.begin(from: &replies, requests, blocks, isStructured: isStructured) }
            return (isSending, isWaitingForRoom)
        }
        if mustWake { wakeup.signal() }
        return hasMore
    }
}

extension NBDError {
    /// The error that a client gets for a block error.
    init(_ error: BlockError) {
        self =
            switch error {
            case .none: .none
            case .inputOutput: .inputOutput
            case .noSpace: .noSpace
            // NBD_ENOTSUP is for NBD_CMD_FLAG_FAST_ZERO alone.
            case .invalid, .notSupported: .invalid
            case .readOnly: .notPermitted
            case .shutdown: .shutdown
            }
    }
}
