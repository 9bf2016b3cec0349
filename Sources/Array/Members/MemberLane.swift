import Glibc
import MemberIO
import Platform
import Statistics

/// Executes batches of member I/O for one thread.
///
/// Adjacent reads or writes of a batch on the same member become one vectored operation. A buffered write is a memory
/// copy. Where the file system cannot take it without blocking (ext4), io_uring would hand it to a kernel worker, which
/// costs ten times as much, so the calling thread does it instead.
///
/// Members that are not local files have channels. The lane hands operations to them and collects the outcomes.
///
/// Threads: one at a time.
package final class MemberLane {
    private enum Engine {
        case uring(UringQueue)
        case threads(WorkerQueue)
    }

    private let engine: Engine
    private let routes: MemberRoutes
    private let table = TransferTable()
    /// Outcomes that wait to be reaped.
    private var ready: [MemberCompletion] = []
    private var readyHead = 0
    /// Operations that arrived while the table was full.
    private var backlog: [(io: MemberIO, fileBase: Int)] = []
    /// Where operations are counted, and this lane's number there; nil when they are not counted.
    private var counters: (to: MemberCounters, lane: Int)?

    /// - Parameters:
    ///   - engine: how I/O is executed.
    ///   - places: the places of all members that I/O may go to.
    /// - Throws: when the system refuses a ring or an eventfd, or a member cannot be reached.
    package init(engine: MemberEngineKind, places: [MemberPlace]) throws(OSError) {
        routes = try MemberRoutes(places, hasRing: engine == .uring)
        ready.reserveCapacity(1024)
        switch engine {
        case .uring: self.engine = .uring(try UringQueue())
        case .threads: self.engine = .threads(try WorkerQueue())
        }
    }

    /// Counts every operation from now on.
    ///
    /// - Parameters:
    ///   - counters: counters of the files that this lane has.
    ///   - lane: a number that no other lane uses in `counters` at the same time.
    package func count(in counters: MemberCounters, lane: Int) { self.counters = (counters, lane) }

    /// Operations that were started and have not been reaped.
    package var outstanding: Int {
        table.usedCount + backlog.count + routes.outstanding + (ready.count - readyHead)
    }

    /// Starts a batch. Many of its operations may be complete when this returns.
    /// - Parameters:
    ///   - ios: operations, whose places are counted from `fileBase`.
    ///   - fileBase: the position of the array's first member among the lane's places.
    package func start(_ ios: UnsafeBufferPointer<MemberIO>, fileBase: Int) {
        var first = 0
        while first < ios.count {
            if routes.route(to: fileBase + ios[first].place.index).hasChannel {
                first = hand(ios, from: first, fileBase: fileBase)
                continue
            }
            var end = first + 1
            while end < ios.count && Self.joins(ios[end - 1], ios[end])
                && end - first < TransferTable.vectorCountMax
            {
                end += 1
            }
            issue(UnsafeBufferPointer(rebasing: ios[first..<end]), fileBase: fileBase)
            first = end
        }
        if case .uring(let ring) = engine { ring.submit() }
    }

    /// Takes outcomes without blocking.
    /// - Returns: the number of outcomes written to the front of `completions`.
    package func reap(into completions: UnsafeMutableBufferPointer<MemberCompletion>) -> Int {
        assert(readyHead <= ready.count, "more outcomes were reaped than there were")
        collect()
        if !backlog.isEmpty && !table.isFull { restartBacklog() }
        let count = min(ready.count - readyHead, completions.count)
        for index in 0..<count { completions[index] = ready[readyHead + index] }
        readyHead += count
        if readyHead == ready.count {
            ready.removeAll(keepingCapacity: true)
            readyHead = 0
        }
        return count
    }

    /// Blocks until there is something to reap or `descriptor` (unless negative) is readable.
    package func wait(orReadable descriptor: Int32) {
        guard readyHead == ready.count else { return }
        guard routes.outstanding == 0 else { return waitForChannels(orReadable: descriptor) }
        switch engine {
        case .uring(let ring): ring.wait(orReadable: descriptor, hasTransfers: table.usedCount > 0)
        case .threads(let workers): workers.wait(orReadable: descriptor, hasTransfers: table.usedCount > 0)
        }
    }

    private static func joins(_ left: MemberIO, _ right: MemberIO) -> Bool {
        left.byteOffset + UInt64(left.byteCount) == right.byteOffset && left.place == right.place
            && left.kind == right.kind && (left.kind == .read || left.kind == .write)
    }

    private func issue(_ ios: UnsafeBufferPointer<MemberIO>, fileBase: Int) {
        guard !table.isFull else {
            for io in ios { backlog.append((io, fileBase)) }
            return
        }
        let position = fileBase + ios[0].place.index
        let route = routes.route(to: position)
        let index = table.claim(ios, file: route.file)
        let transfer = table.transfers[index]
        guard transfer.file >= 0 else { return end(index, .failed) }
        if let counters {
            counters.to.note(
                file: position, kind: transfer.kind.counted, byteCount: transfer.byteCount, lane: counters.lane)
        }
        switch transfer.kind {
        case .punch, .zero: end(index, DirectTransfer.zero(transfer))
        // Rare enough for the thread to wait for it.
        case .reread: end(index, DirectTransfer.reread(index, in: table))
        case .flush where route.flushesAtOnce: end(index, DirectTransfer.flush(transfer))
        case .durableWrite where route.flushesAtOnce: end(index, DirectTransfer.run(index, in: table))
        case .write where !route.writesThroughRing: end(index, DirectTransfer.run(index, in: table))
        case .read: queue(index, isRead: true)
        case .write, .flush, .durableWrite: queue(index, isRead: false)
        }
    }

    private func queue(_ index: Int, isRead: Bool) {
        switch engine {
        case .uring(let ring): ring.queue(index, table)
        case .threads(let workers):
            if isRead, let status = DirectTransfer.readCached(index, in: table) {
                end(index, status)
            } else {
                workers.queue(index, table)
            }
        }
    }

    private func end(_ index: Int, _ status: MemberStatus) {
        table.release(index, status: status, into: &ready)
    }

    private func collect() {
        routes.reap(into: &ready)
        switch engine {
        case .uring(let ring):
            ring.reap { index, result in
                let transfer = table.transfers[index]
                assert(
                    Int(result) <= transfer.byteCount, "\(result) bytes of \(transfer.byteCount) were moved")
                if result == -EINTR || result == -EAGAIN {
                    ring.queue(index, table)
                    ring.submit()
                } else if result < 0 || (result == 0 && transfer.kind != .flush) {
                    end(index, DirectTransfer.failure(Int(result), of: index, in: table))
                } else if Int(result) < transfer.byteCount && transfer.kind != .flush {
                    // A short transfer is rare: a signal, a file that ends, or a disk that fills up.
                    table.advance(index, by: Int(result))
                    end(index, DirectTransfer.run(index, in: table))
                } else {
                    end(index, .done)
                }
            }
        case .threads(let workers):
            workers.reap { index, status in end(index, status) }
        }
    }

    private func restartBacklog() {
        assert(!table.isFull, "operations that wait were begun, and there is no room")
        let waiting = backlog
        backlog.removeAll(keepingCapacity: true)
        for (io, fileBase) in waiting {
            withUnsafePointer(to: io) { issue(UnsafeBufferPointer(start: $0, count: 1), fileBase: fileBase) }
        }
        if case .uring(let ring) = engine { ring.submit() }
        collect()
    }
}

/// Members that are not local files.
extension MemberLane {
    /// Hands a run of operations on one member to the member's channel.
    /// - Returns: the index of the first operation on another member.
    private func hand(_ ios: UnsafeBufferPointer<MemberIO>, from first: Int, fileBase: Int) -> Int {
        var end = first
        while end < ios.count && ios[end].place == ios[first].place {
            if let counters {
                counters.to.note(
                    file: fileBase + ios[end].place.index, kind: ios[end].kind.counted,
                    byteCount: Int(ios[end].byteCount), lane: counters.lane)
            }
            end += 1
        }
        routes.start(UnsafeBufferPointer(rebasing: ios[first..<end]), at: fileBase + ios[first].place.index)
        return end
    }

    /// Blocks until a channel, the engine or the caller's descriptor is ready.
    private func waitForChannels(orReadable descriptor: Int32) {
        var polls = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
        switch engine {
        case .uring(let ring): polls.append(pollfd(fd: ring.descriptor, events: Int16(POLLIN), revents: 0))
        case .threads(let workers): polls.append(pollfd(fd: workers.descriptor, events: Int16(POLLIN), revents: 0))
        }
        routes.addPolls(to: &polls)
        _ = poll(&polls, nfds_t(polls.count), -1)
        if case .threads(let workers) = engine { workers.clear() }
    }
}
