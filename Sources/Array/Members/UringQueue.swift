import CURing
import Glibc
import MemberIO
import Platform

/// A lane's io_uring.
final class UringQueue {
    /// The user data of the poll on a lane's descriptor. Transfers use their index.
    private static let pollData = UInt64.max
    private static let reapBatch = 64

    private let ring: UnsafeMutablePointer<io_uring>
    private var queued = 0
    /// The descriptor for which a poll is armed, or -1.
    private var polled: Int32 = -1

    /// - Parameter entryCount: entries of the submission ring; the completion ring has twice as many.
    init(entryCount: UInt32 = 256) throws(OSError) {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        ring.initialize(to: io_uring())
        let status = io_uring_queue_init(entryCount, ring, 0)
        guard status == 0 else {
            ring.deallocate()
            throw OSError(code: -status, doing: "set up io_uring; try --io-engine threads")
        }
        // Last, because an initialiser that throws after setting every property runs `deinit`.
        self.ring = ring
    }

    /// Readable while completions can be reaped.
    var descriptor: Int32 { ring.pointee.ring_fd }

    deinit {
        io_uring_queue_exit(ring)
        ring.deallocate()
    }

    /// Prepares a read, write or flush.
    func queue(_ index: Int, _ table: TransferTable) {
        let transfer = table.transfers[index]
        let entry = nextEntry()
        let vectors = table.vectors(of: index)
        assert(transfer.file >= 0, "transfer \(index) has no file")
        switch transfer.kind {
        case .read where transfer.vectorCount == 1:
            io_uring_prep_read(
                entry, transfer.file, vectors[0].iov_base, UInt32(vectors[0].iov_len), transfer.byteOffset)
        case .write where transfer.vectorCount == 1:
            io_uring_prep_write(
                entry, transfer.file, vectors[0].iov_base, UInt32(vectors[0].iov_len), transfer.byteOffset)
        case .read:
            io_uring_prep_readv(entry, transfer.file, vectors, UInt32(transfer.vectorCount), transfer.byteOffset)
        case .write:
            io_uring_prep_writev(entry, transfer.file, vectors, UInt32(transfer.vectorCount), transfer.byteOffset)
        case .flush:
            io_uring_prep_fsync(entry, transfer.file, UInt32(IORING_FSYNC_DATASYNC))
        case .durableWrite:
            // Never joined with its neighbours in the batch.
            assert(transfer.vectorCount == 1, "durable writes were joined")
            io_uring_prep_write(
                entry, transfer.file, vectors[0].iov_base, UInt32(vectors[0].iov_len), transfer.byteOffset)
            entry.pointee.rw_flags = Int32(RWF_DSYNC)
        case .punch, .zero, .reread:
            preconditionFailure("\(transfer.kind) does not go through the ring")
        }
        io_uring_sqe_set_data64(entry, UInt64(index))
    }

    /// Hands the prepared entries to the kernel in one system call.
    func submit() {
        while queued > 0 {
            let submitted = io_uring_submit(ring)
            if submitted == -EINTR || submitted == -EAGAIN || submitted == -EBUSY { continue }
            precondition(submitted >= 0, "io_uring_submit failed with errno \(-submitted)")
            queued = 0
        }
    }

    /// Calls `body` with each finished transfer and the result of its system call.
    func reap(_ body: (Int, Int32) -> Void) {
        withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<io_uring_cqe>?.self, capacity: Self.reapBatch) {
            entries in
            withUnsafeTemporaryAllocation(of: (data: UInt64, result: Int32).self, capacity: Self.reapBatch) { results in
                while true {
                    let count = Int(io_uring_peek_batch_cqe(ring, entries.baseAddress!, UInt32(Self.reapBatch)))
                    if count == 0 { return }
                    for index in 0..<count {
                        results[index] = (entries[index]!.pointee.user_data, entries[index]!.pointee.res)
                    }
                    io_uring_cq_advance(ring, UInt32(count))
                    for (data, result) in results[..<count] {
                        assert(data == Self.pollData || data < TransferTable.capacity, "the ring ends no transfer")
                        assert(data != Self.pollData || polled >= 0, "a poll ended twice")
                        if data == Self.pollData { polled = -1 } else { body(Int(data), result) }
                    }
                }
            }
        }
    }

    /// Blocks until a completion can be reaped, including that of a poll.
    func wait(orReadable descriptor: Int32, hasTransfers: Bool) {
        guard hasTransfers || descriptor >= 0 else { return }
        if descriptor >= 0 && polled != descriptor {
            precondition(polled < 0, "a lane waits for one descriptor")
            let entry = nextEntry()
            io_uring_prep_poll_add(entry, descriptor, UInt32(POLLIN))
            io_uring_sqe_set_data64(entry, Self.pollData)
            polled = descriptor
        }
        queued = 0
        let status = io_uring_submit_and_wait(ring, 1)
        precondition(
            status >= 0 || status == -EINTR || status == -EAGAIN || status == -EBUSY,
            "io_uring_submit_and_wait failed with errno \(-status)")
    }

    private func nextEntry() -> UnsafeMutablePointer<io_uring_sqe> {
        queued += 1
        if let entry = io_uring_get_sqe(ring) { return entry }
        submit()
        queued = 1
        return io_uring_get_sqe(ring)!
    }
}
