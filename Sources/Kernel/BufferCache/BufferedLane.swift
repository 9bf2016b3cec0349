import BlockStorage
import Glibc
import Platform

/// A lane of the cache: a lane of the raw device, and a row for each of its tags.
///
/// Only the lane's thread advances rows. Another thread that ends a row's raw request, or its wait, just leaves news in
/// the mailbox. So one thread uses the raw lane, and completions arrive inside `submit` and `wait`. In return every
/// request that has not ended counts as outstanding work of the lane: its thread must come to `wait`, where news wakes
/// it.
final class BufferedLane: BlockLane {
    private let table: PageTable
    private let info: BlockServiceInfo
    private let raw: any BlockLane
    private let mailbox: LaneMailbox
    private let receiver: any BlockCompletionReceiver
    private let rows: [CacheRow]
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
        rows = (0..<raw.requestCapacity).map { CacheRow(waiter: Waiter(mailbox: mailbox, tag: UInt16($0))) }
    }

    var requestCapacity: Int { rows.count }

    var hasOutstandingWork: Bool { activeCount > 0 || raw.hasOutstandingWork }

    func submit(_ requests: UnsafeBufferPointer<BlockRequest>) {
        tally.submitted(requests)
        for request in requests {
            precondition(Int(request.tag) < rows.count, "a tag is below the lane's capacity")
            let row = rows[Int(request.tag)]
            activeCount += 1
            let error = row.begin(request, info)
            take(error == .none ? row.advance(table, waking: &woken) : .ended(error), row)
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

    private func take(_ step: CacheRow.Step, _ row: CacheRow) {
        switch step {
        case .raw(let request): toSend.append(request)
        case .waiting: break
        case .ended(let error):
            activeCount -= 1
            ended.append(BlockCompletion(tag: row.waiter.tag, error: error, byteCount: row.movedByteCount(error)))
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
                tally.completed(told)
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

    /// Advances the rows with news.
    /// - Returns: whether there was any.
    private func takeNews() -> Bool {
        guard mailbox.take(outcomes: &outcomes, resumed: &resumed) else { return false }
        for outcome in outcomes {
            let row = rows[Int(outcome.tag)]
            take(row.rawEnded(outcome.error, table, waking: &woken), row)
        }
        for tag in resumed { take(rows[Int(tag)].advance(table, waking: &woken), rows[Int(tag)]) }
        outcomes.removeAll(keepingCapacity: true)
        resumed.removeAll(keepingCapacity: true)
        return true
    }
}
