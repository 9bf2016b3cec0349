import Glibc
import MemberIO
import Platform

/// A lane's connection to the worker threads: transfers that would block go out, and an eventfd tells when outcomes
/// come back.
final class WorkerQueue: @unchecked Sendable {
    // SAFETY: `done` is touched under `lock`; the rest never changes.
    private let lock = Lock()
    private var done: [(index: Int, status: MemberStatus)] = []
    private let wakeup: EventFD

    init() throws(OSError) { wakeup = try EventFD() }

    /// Readable since a worker finished a transfer.
    var descriptor: Int32 { wakeup.descriptor }

    /// Hands a transfer to a worker. It belongs to the worker until it is reaped.
    func queue(_ index: Int, _ table: TransferTable) {
        // SAFETY: the lane does not touch the transfer, nor free the table, while it is out.
        nonisolated(unsafe) let table = table
        MemberWorkers.shared.run { [self] in
            let transfer = table.transfers[index]
            assert(transfer.file >= 0, "transfer \(index) has no file")
            let status =
                transfer.kind == .flush ? DirectTransfer.flush(transfer) : DirectTransfer.run(index, in: table)
            lock.withLock { done.append((index, status)) }
            wakeup.signal()
        }
    }

    func reap(_ body: (Int, MemberStatus) -> Void) {
        let finished = lock.withLock {
            let finished = done
            done.removeAll(keepingCapacity: true)
            return finished
        }
        assert(Set(finished.map(\.index)).count == finished.count, "a worker ended a transfer twice")
        for (index, status) in finished { body(index, status) }
    }

    func wait(orReadable descriptor: Int32, hasTransfers: Bool) {
        guard hasTransfers || descriptor >= 0 else { return }
        guard lock.withLock({ done.isEmpty }) else { return }
        var polls = [
            pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&polls, 2, -1)
        clear()
    }

    /// Makes the descriptor unreadable until a worker finishes another transfer. To be called before reaping.
    func clear() { wakeup.clear() }
}

/// The worker threads of the `threads` engine, shared by all lanes. They do cold reads and flushes only, so a few
/// suffice.
final class MemberWorkers: @unchecked Sendable {
    // SAFETY: `waiting` is touched under the mutex.
    static let shared = MemberWorkers()
    private static let threadCount = 8

    private let mutex: UnsafeMutablePointer<pthread_mutex_t> = .allocate(capacity: 1)
    private let condition: UnsafeMutablePointer<pthread_cond_t> = .allocate(capacity: 1)
    private var waiting: [@Sendable () -> Void] = []
    private var started = false

    private init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    /// Runs work on a thread that may block, or on the caller's thread if no worker can be started.
    func run(_ work: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(mutex)
        if !started { started = startThreads() }
        let hasThreads = started
        if hasThreads {
            waiting.append(work)
            pthread_cond_signal(condition)
        }
        pthread_mutex_unlock(mutex)
        if !hasThreads { work() }
    }

    private func startThreads() -> Bool {
        var count = 0
        for number in 0..<Self.threadCount {
            guard let thread = try? OSThread(name: "member I/O \(number)", { self.serve() }) else { break }
            thread.detach()
            count += 1
        }
        return count > 0
    }

    private func serve() {
        while true {
            pthread_mutex_lock(mutex)
            while waiting.isEmpty { pthread_cond_wait(condition, mutex) }
            let work = waiting.removeFirst()
            pthread_mutex_unlock(mutex)
            work()
        }
    }
}
