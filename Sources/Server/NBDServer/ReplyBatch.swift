import BlockStorage
import Glibc
import NBDProtocol
import Platform
import Synchronization

/// A request that a connection has received and not yet answered in full; indexed by tag. What the lane has to know of
/// it is in the lane's request of the same tag.
struct PendingRequest {
    var cookie: UInt64 = 0
    /// The chunk that holds the payload, or -1.
    var chunk = -1
    var error = NBDError.none
}

/// A batch of replies on its way to the client, sent with one system call if the socket takes them all.
///
/// It is separate from the reply queue because other threads append to the queue while a batch is being sent.
///
/// Threads: the sender, of which a connection has one at a time.
struct ReplyBatch {
    /// Replies in one system call; each takes up to two vectors, and IOV_MAX is 1024.
    static let batchMax = 256

    private let headers: UnsafeMutableRawPointer
    private let vectors: UnsafeMutablePointer<iovec>
    private let batch: UnsafeMutablePointer<UInt16>
    private var batchCount = 0
    private var vectorCount = 0
    private var firstVector = 0
    private var hasLargeData = false

    /// Larger data is sent in pieces of this many bytes, so that the progress of a slow client can be seen.
    private static let pieceByteCount = 2 << 20

    init(requestCapacity: Int) {
        headers = .allocate(byteCount: requestCapacity * ReplyHeader.byteCountMax, alignment: 64)
        vectors = .allocate(capacity: 2 * Self.batchMax)
        batch = .allocate(capacity: Self.batchMax)
    }

    func deallocate() {
        headers.deallocate()
        vectors.deallocate()
        batch.deallocate()
    }

    /// Takes queued replies as the next batch to send. Under the connection's lock.
    mutating func begin(
        from queued: inout Ring<UInt16>, _ requests: UnsafePointer<PendingRequest>,
        _ blocks: UnsafePointer<BlockRequest>, isStructured: Bool
    ) {
        batchCount = 0
        vectorCount = 0
        firstVector = 0
        hasLargeData = false
        while batchCount < Self.batchMax, let tag = queued.popFirst() {
            let request = requests + Int(tag)
            let block = blocks + Int(tag)
            // A request that was refused has no block request. Patterns, since comparisons would be calls.
            var dataByteCount = 0
            if case .none = request.pointee.error, case .read = block.pointee.operation {
                dataByteCount = Int(block.pointee.byteCount)
            }
            let header = headers + Int(tag) * ReplyHeader.byteCountMax
            let length = ReplyHeader.write(
                to: header, cookie: request.pointee.cookie, error: request.pointee.error,
                byteOffset: block.pointee.byteOffset,
                dataByteCount: dataByteCount, isStructured: isStructured)
            vectors[vectorCount] = iovec(iov_base: header, iov_len: length)
            vectorCount += 1
            if dataByteCount > 0 {
                vectors[vectorCount] = iovec(iov_base: block.pointee.buffer, iov_len: dataByteCount)
                hasLargeData = hasLargeData || dataByteCount > Self.pieceByteCount
                vectorCount += 1
            }
            batch[batchCount] = tag
            batchCount += 1
        }
    }

    /// The tags of the batch.
    var tags: UnsafeBufferPointer<UInt16> { UnsafeBufferPointer(start: batch, count: batchCount) }

    enum Progress {
        case all
        /// The socket takes no more for now.
        case full
        /// The client is gone, with sendmsg(2)'s errno.
        case broken(Int32)
    }

    /// Sends what is left of the batch.
    /// - Parameters:
    ///   - blocking: waits for a slow client instead of returning `.full`.
    ///   - moved: increased by the bytes sent, after each system call.
    mutating func send(to descriptor: Int32, blocking: Bool, counting moved: borrowing Atomic<Int>) -> Progress {
        while firstVector < vectorCount {
            let sent = sendOnce(to: descriptor, flags: Int32(MSG_NOSIGNAL) | (blocking ? 0 : Int32(MSG_DONTWAIT)))
            if sent < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN || errno == EWOULDBLOCK ? .full : .broken(errno)
            }
            moved.add(sent, ordering: .relaxed)
            advance(sent)
        }
        return .all
    }

    /// Sends all that is left, or up to the end of the first piece of the next large data.
    private func sendOnce(to descriptor: Int32, flags: Int32) -> Int {
        var message = msghdr()
        message.msg_iov = vectors + firstVector
        message.msg_iovlen = vectorCount - firstVector
        guard hasLargeData,
            let large = (firstVector..<vectorCount).first(where: { vectors[$0].iov_len > Self.pieceByteCount })
        else { return sendmsg(descriptor, &message, flags) }
        message.msg_iovlen = large + 1 - firstVector
        let byteCount = vectors[large].iov_len
        vectors[large].iov_len = Self.pieceByteCount
        defer { vectors[large].iov_len = byteCount }
        return sendmsg(descriptor, &message, flags)
    }

    private mutating func advance(_ byteCount: Int) {
        var rest = byteCount
        while rest > 0 {
            let step = min(rest, vectors[firstVector].iov_len)
            vectors[firstVector].iov_base = vectors[firstVector].iov_base.map { $0 + step }
            vectors[firstVector].iov_len -= step
            rest -= step
            if vectors[firstVector].iov_len == 0 { firstVector += 1 }
        }
    }
}
