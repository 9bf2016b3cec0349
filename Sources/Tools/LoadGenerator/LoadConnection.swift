import Glibc
import NBDProtocol
import Platform

/// Keeps a number of requests under way on one connection, on the calling thread.
///
/// It works in batches. One call sends all due requests, without copying headers or data, and one call receives all
/// replies that are there. Data that was read is dropped.
final class LoadConnection {
    /// A request that is under way.
    private struct Slot: BitwiseCopyable {
        var isBusy = false
        var isRead = false
        var byteOffset: UInt64 = 0
        var startNanoseconds: UInt64 = 0
    }

    private static let receiveByteCount = 256 << 10

    private let link: NBDLink
    private let workload: Workload
    private let depth: Int
    private let end: LoadEnd
    /// Whether each request is sent by a call of its own.
    private let sendsSingly: Bool
    /// The pattern that read data must match; nil for no check.
    private let checked: LoadPattern?
    private let pattern: LoadPattern
    private var places: PlaceSequence

    private let slots: UnsafeMutablePointer<Slot>
    private let free: UnsafeMutablePointer<Int>
    private var freeCount: Int
    private let headers: UnsafeMutableRawPointer
    private let vectors: UnsafeMutablePointer<iovec>
    private var vectorCount = 0
    private var sentVectorCount = 0
    private let received: UnsafeMutableRawPointer
    /// Bytes of a header whose rest has not come.
    private var heldByteCount = 0
    /// The read whose data is being received, and the bytes of it still to come.
    private var currentSlot = 0
    private var payloadLeft = 0
    private var currentMatches = true
    private var result = LoadResult()

    init(
        link: NBDLink, workload: Workload, depth: Int, region: Range<UInt64>, end: LoadEnd, pattern: LoadPattern,
        isChecked: Bool, sendsSingly: Bool, seed: UInt64
    ) {
        self.link = link
        self.workload = workload
        self.depth = depth
        self.end = end
        self.sendsSingly = sendsSingly
        self.pattern = pattern
        checked = isChecked ? pattern : nil
        places = PlaceSequence(workload: workload, region: region, seed: seed)
        slots = .allocate(capacity: depth)
        slots.initialize(repeating: Slot(), count: depth)
        free = .allocate(capacity: depth)
        for index in 0..<depth { (free + index).initialize(to: index) }
        freeCount = depth
        headers = .allocate(byteCount: depth * NBD.requestByteCount, alignment: 64)
        vectors = .allocate(capacity: 2 * depth)
        vectors.initialize(repeating: iovec(), count: 2 * depth)
        received = .allocate(byteCount: Self.receiveByteCount, alignment: 4096)
    }

    deinit {
        slots.deallocate()
        free.deallocate()
        headers.deallocate()
        vectors.deallocate()
        received.deallocate()
    }

    /// Runs the load, and returns when all requests are answered.
    func run() throws -> LoadResult {
        let cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID)
        let start = nanoseconds(CLOCK_MONOTONIC)
        let deadline: UInt64 =
            switch end {
            case .afterSeconds(let seconds): start + UInt64(seconds * 1e9)
            case .afterOnePass: .max
            }
        var now = start
        while true {
            if now < deadline { fill(now) }
            let hasSentAll = try send()
            if hasSentAll && freeCount == depth { break }
            if !hasSentAll { try waitForSocket() }
            let count = try receive(mayWait: hasSentAll)
            now = nanoseconds(CLOCK_MONOTONIC)
            if count > 0 { try take(heldByteCount + count, now: now) }
        }
        finish(seconds: Double(max(now - start, 1)) / 1e9)
        result.clientNanoseconds = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu
        return result
    }

    private func finish(seconds: Double) {
        let byteCount = Double(workload.blockByteCount)
        func rate(_ side: inout LoadResult.Side) {
            side.count = side.latency.count
            side.operationsPerSecond = Double(side.count) / seconds
            side.bytesPerSecond = side.operationsPerSecond * byteCount
        }
        rate(&result.reads)
        rate(&result.writes)
    }

    // MARK: Sending

    /// Prepares requests for all free slots, once everything before them is sent.
    private func fill(_ now: UInt64) {
        guard sentVectorCount == vectorCount else { return }
        sentVectorCount = 0
        vectorCount = 0
        while freeCount > 0 {
            if case .afterOnePass = end, places.hasWrapped { return }
            freeCount -= 1
            prepare(free[freeCount], now)
        }
    }

    private func prepare(_ index: Int, _ now: UInt64) {
        let (byteOffset, isRead) = places.next()
        slots[index] = Slot(isBusy: true, isRead: isRead, byteOffset: byteOffset, startNanoseconds: now)
        let header = headers + index * NBD.requestByteCount
        header.storeBytes(of: NBD.requestMagic.bigEndian, as: UInt32.self)
        header.storeBytes(of: 0, toByteOffset: 4, as: UInt16.self)
        header.storeBytes(
            of: (isRead ? NBDCommand.read : .write).rawValue.bigEndian, toByteOffset: 6, as: UInt16.self)
        header.storeBytes(of: UInt64(index).bigEndian, toByteOffset: 8, as: UInt64.self)
        header.storeBytes(of: byteOffset.bigEndian, toByteOffset: 16, as: UInt64.self)
        header.storeBytes(of: UInt32(workload.blockByteCount).bigEndian, toByteOffset: 24, as: UInt32.self)
        append(header, NBD.requestByteCount)
        if !isRead { append(pattern.bytes(at: byteOffset), workload.blockByteCount) }
    }

    private func append(_ bytes: UnsafeRawPointer, _ count: Int) {
        vectors[vectorCount] = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes), iov_len: count)
        vectorCount += 1
    }

    /// Sends what the socket takes. It never waits, because the server may have to send replies first.
    /// - Returns: whether nothing is left.
    private func send() throws -> Bool {
        while sentVectorCount < vectorCount {
            var message = msghdr()
            message.msg_iov = vectors + sentVectorCount
            message.msg_iovlen = sendsSingly ? nextRequestVectorCount : vectorCount - sentVectorCount
            let count = sendmsg(link.descriptor, &message, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            if count < 0 {
                if errno == EAGAIN { return false }
                if errno == EINTR { continue }
                throw OSError(code: errno, doing: "send requests")
            }
            result.sendCount += 1
            forget(count)
        }
        return true
    }

    /// The vectors left of the first request not yet sent: the rest of its header and its data, or the rest of its
    /// data.
    private var nextRequestVectorCount: Int {
        let next = sentVectorCount + 1
        let isFollowedByData = next < vectorCount && vectors[next].iov_len == workload.blockByteCount
        return isFollowedByData && vectors[sentVectorCount].iov_len <= NBD.requestByteCount ? 2 : 1
    }

    /// Removes sent bytes from the list.
    private func forget(_ byteCount: Int) {
        var left = byteCount
        while left > 0 {
            let length = vectors[sentVectorCount].iov_len
            if left < length {
                vectors[sentVectorCount].iov_base += left
                vectors[sentVectorCount].iov_len -= left
                return
            }
            left -= length
            sentVectorCount += 1
        }
    }

    private func waitForSocket() throws {
        var request = pollfd(fd: link.descriptor, events: Int16(POLLIN | POLLOUT), revents: 0)
        guard poll(&request, 1, -1) >= 0 || errno == EINTR else {
            throw OSError(code: errno, doing: "wait for the server")
        }
    }

    // MARK: Receiving

    private func receive(mayWait: Bool) throws -> Int {
        while true {
            let count = recv(
                link.descriptor, received + heldByteCount, Self.receiveByteCount - heldByteCount,
                mayWait ? 0 : Int32(MSG_DONTWAIT))
            if count > 0 {
                result.receiveCount += 1
                return count
            }
            if count == 0 { throw OperationError("the server ended the connection") }
            if errno == EAGAIN { return 0 }
            if errno != EINTR { throw OSError(code: errno, doing: "receive replies") }
        }
    }

    /// Processes the complete replies.
    private func take(_ byteCount: Int, now: UInt64) throws {
        var position = 0
        while position < byteCount {
            if payloadLeft > 0 {
                let count = min(payloadLeft, byteCount - position)
                check(received + position, count)
                position += count
                payloadLeft -= count
                if payloadLeft == 0 { complete(currentSlot, now) }
                continue
            }
            guard byteCount - position >= NBD.simpleReplyByteCount else { break }
            try takeHeader(received + position, now)
            position += NBD.simpleReplyByteCount
        }
        heldByteCount = byteCount - position
        if heldByteCount > 0 && position > 0 { memmove(received, received + position, heldByteCount) }
    }

    private func takeHeader(_ header: UnsafeMutableRawPointer, _ now: UInt64) throws {
        let cookie = UInt64(bigEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        guard UInt32(bigEndian: header.loadUnaligned(as: UInt32.self)) == NBD.simpleReplyMagic,
            cookie < UInt64(depth), slots[Int(cookie)].isBusy
        else { throw OperationError("the server sent what is no reply to any request under way") }
        let slot = Int(cookie)
        let error = header.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        if error != 0 { result.errorCount += 1 }
        if slots[slot].isRead && error == 0 {
            currentSlot = slot
            currentMatches = true
            payloadLeft = workload.blockByteCount
        } else {
            complete(slot, now)
        }
    }

    private func check(_ bytes: UnsafeRawPointer, _ count: Int) {
        guard let checked, currentMatches else { return }
        let offset = slots[currentSlot].byteOffset + UInt64(workload.blockByteCount - payloadLeft)
        if !checked.matches(bytes, at: offset, byteCount: count) {
            currentMatches = false
            result.mismatchCount += 1
        }
    }

    private func complete(_ slot: Int, _ now: UInt64) {
        let took = now - slots[slot].startNanoseconds
        if slots[slot].isRead { result.reads.latency.record(took) } else { result.writes.latency.record(took) }
        slots[slot].isBusy = false
        free[freeCount] = slot
        freeCount += 1
    }
}

/// Nanoseconds on a clock.
private func nanoseconds(_ clock: clockid_t) -> UInt64 {
    var now = timespec()
    clock_gettime(clock, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
