import BlockStorage
import Glibc
import Platform

/// A lane of the cache: a lane of the raw device, and the state of a request for each of its tags.
///
/// Only the lane's thread advances requests. Another thread that ends a raw request, or a wait, just leaves news in
/// the mailbox. So one thread uses the raw lane, and completions arrive inside `submit` and `wait`. In return every
/// request that has not ended counts as outstanding work of the lane: its thread must come to `wait`, where news wakes
/// it.
final class BufferedLane: BlockLane {
    private let table: PageTable
    private let info: BlockServiceInfo
    private let raw: any BlockLane
    private let mailbox: LaneMailbox
    private let receiver: any BlockCompletionReceiver
    let requests: UnsafeMutablePointer<BlockRequest>
    private let cachedRequests: [CachedRequest]
    private var tally: LaneTally
    private let closed: () -> Void
    private var activeCount = 0
    /// A frame below on the stack is in `work`, and takes care of additions to the lists.
    private var isWorking = false
    private var toSend: [BlockRequest] = []
    private var ended: [BlockCompletion] = []
    private var woken: [Waiter] = []
    // The arrays of earlier batches, emptied, so that batches need no allocation.
    private var sent: [BlockRequest] = []
    private var told: [BlockCompletion] = []
    private var outcomes: [BlockCompletion] = []
    private var resumed: [UInt16] = []

    init(
        table: PageTable, info: BlockServiceInfo, raw: any BlockLane, mailbox: LaneMailbox,
        receiver: any BlockCompletionReceiver, tally: LaneTally, closed: @escaping () -> Void
    ) {
        self.table = table
        self.info = info
        self.raw = raw
        self.mailbox = mailbox
        self.receiver = receiver
        self.tally = tally
        self.closed = closed
        requests = .allocate(capacity: raw.requestCapacity)
        requests.initialize(repeating: BlockRequest(operation: .flush, tag: 0), count: raw.requestCapacity)
        cachedRequests = (0..<raw.requestCapacity).map {
            CachedRequest(waiter: Waiter(mailbox: mailbox, tag: UInt16($0)))
        }
    }

    deinit { requests.deallocate() }

    var requestCapacity: Int { cachedRequests.count }

    var hasOutstandingWork: Bool { activeCount > 0 || raw.hasOutstandingWork }

    func submit(_ tags: UnsafeBufferPointer<UInt16>) {
        tally.submitted(tags)
        for tag in tags {
            precondition(Int(tag) < cachedRequests.count, "a tag is below the lane's capacity")
            let cached = cachedRequests[Int(tag)]
            activeCount += 1
            let error = cached.begin(requests[Int(tag)], info)
            take(error == .none ? cached.advance(table, waking: &woken) : .ended(error), cached)
        }
        work()
    }

    func wait(orReadable descriptor: Int32) {
        guard hasOutstandingWork || descriptor >= 0 else { return }
        if mailbox.fallAsleep() {
            let isWatched = mailbox.epoll.watch(descriptor)
            if raw.hasOutstandingWork {
                raw.wait(orReadable: mailbox.epoll.descriptor)
            } else if isWatched {
                mailbox.epoll.wait()
            } else {
                // The epoll instance had no memory to watch the descriptor with. The caller looks at it again soon.
                usleep(1000)
            }
            mailbox.wakeUp()
        }
        work()
    }

    func close() {
        precondition(activeCount == 0, "a lane is closed with no request outstanding")
        raw.close()
        closed()
    }

    private func take(_ step: CachedRequest.Step, _ cached: CachedRequest) {
        switch step {
        case .raw(let request): toSend.append(request)
        case .waiting: break
        case .ended(let error):
            activeCount -= 1
            ended.append(BlockCompletion(tag: cached.waiter.tag, error: error, byteCount: cached.movedByteCount(error)))
        }
    }

    /// Does everything that needs no waiting.
    private func work() {
        guard !isWorking else { return }
        isWorking = true
        repeat {
            for waiter in woken { waiter.mailbox.resume(waiter.tag) }
            woken.removeAll(keepingCapacity: true)
            if !ended.isEmpty {
                swap(&ended, &told)
                tally.completed(told, of: requests)
                told.withUnsafeBufferPointer { receiver.completed($0) }
                told.removeAll(keepingCapacity: true)
            }
            if !toSend.isEmpty {
                swap(&toSend, &sent)
                sent.withUnsafeBufferPointer { raw.submit($0) }
                sent.removeAll(keepingCapacity: true)
            }
        } while takeNews() || !woken.isEmpty || !ended.isEmpty || !toSend.isEmpty
        isWorking = false
    }

    /// Advances the requests with news.
    /// - Returns: whether there was any.
    private func takeNews() -> Bool {
        guard mailbox.take(outcomes: &outcomes, resumed: &resumed) else { return false }
        for outcome in outcomes {
            let cached = cachedRequests[Int(outcome.tag)]
            take(cached.rawEnded(outcome.error, table, waking: &woken), cached)
        }
        for tag in resumed { take(cachedRequests[Int(tag)].advance(table, waking: &woken), cachedRequests[Int(tag)]) }
        outcomes.removeAll(keepingCapacity: true)
        resumed.removeAll(keepingCapacity: true)
        return true
    }
}
