import CLinux
import Glibc
import MemberIO

/// Executes a whole transfer by system calls on the calling thread.
enum DirectTransfer {
    /// The outcome of an operation whose system call returned `error`: a negative errno, or 0 for no progress. A flush
    /// that finds no space counts as failed, since earlier writes are lost with it.
    static func status(of error: Int, _ kind: MemberIO.Kind) -> MemberStatus {
        assert(error <= 0, "\(error) is no negative errno")
        return switch Int32(-error) {
        case ENOSPC, EDQUOT: kind == .flush ? .failed : .noSpace
        // The block layer reports media errors (EIO, ENODATA) and protection errors (EILSEQ), file systems report wrong
        // checksums (EBADMSG).
        case EIO, ENODATA, EILSEQ, EBADMSG: kind.isRead ? .unreadable : .failed
        // The system refuses an operation's memory or range, which says nothing about the member. A flush has neither:
        // when the system does not take a flush, nothing becomes durable.
        case EFAULT, EINVAL, ENOMEM: kind == .flush ? .failed : .refused
        default: .failed
        }
    }

    /// The outcome of a transfer whose system call returned `error`. A durable write is a write and a flush in one
    /// call, so one that finds no space was either refused, or has lost earlier writes. Repeating it without the flush
    /// tells which.
    static func failure(_ error: Int, of index: Int, in table: TransferTable) -> MemberStatus {
        let transfer = table.transfers[index]
        let status = status(of: error, transfer.kind)
        guard transfer.kind == .durableWrite, status == .noSpace else { return status }
        let again = nbdext_pwritev(
            transfer.file, table.vectors(of: index), transfer.vectorCount, Int64(transfer.byteOffset), 0)
        return again < 0 ? self.status(of: again, .write) : .failed
    }

    /// Reads or writes the whole transfer. A file that ends early is a failure.
    static func run(_ index: Int, in table: TransferTable) -> MemberStatus {
        let kind = table.transfers[index].kind
        assert(kind.isRead || kind == .write || kind == .durableWrite, "a \(kind) has no bytes to move")
        while table.transfers[index].byteCount > 0 {
            let transfer = table.transfers[index]
            let vectors = table.vectors(of: index)
            let done =
                transfer.kind.isRead
                ? nbdext_preadv(transfer.file, vectors, transfer.vectorCount, Int64(transfer.byteOffset), 0)
                : nbdext_pwritev(
                    transfer.file, vectors, transfer.vectorCount, Int64(transfer.byteOffset),
                    transfer.kind == .durableWrite ? 1 : 0)
            guard done > 0 else { return failure(done, of: index, in: table) }
            table.advance(index, by: done)
        }
        return .done
    }

    /// Reads the whole transfer again from the disk, after the page cache has dropped its clean pages. Dirty pages stay
    /// in the cache.
    static func reread(_ index: Int, in table: TransferTable) -> MemberStatus {
        let transfer = table.transfers[index]
        assert(transfer.kind == .reread, "a \(transfer.kind) drops pages from the cache")
        // If the advice is not taken, this is a read like any other.
        _ = posix_fadvise(
            transfer.file, off_t(transfer.byteOffset), off_t(transfer.byteCount), POSIX_FADV_DONTNEED)
        return run(index, in: table)
    }

    /// Reads as far as the page cache has the data. Returns nil when the rest has to be waited for.
    static func readCached(_ index: Int, in table: TransferTable) -> MemberStatus? {
        assert(table.transfers[index].kind == .read, "only a read may end with what the cache has")
        while table.transfers[index].byteCount > 0 {
            let transfer = table.transfers[index]
            let done = nbdext_preadv(
                transfer.file, table.vectors(of: index), transfer.vectorCount, Int64(transfer.byteOffset), 1)
            if done == -Int(EAGAIN) || done == -Int(EOPNOTSUPP) { return nil }
            guard done > 0 else { return status(of: done, transfer.kind) }
            table.advance(index, by: done)
        }
        return .done
    }

    /// Makes everything written so far durable.
    static func flush(_ transfer: Transfer) -> MemberStatus {
        assert(transfer.kind == .flush, "a \(transfer.kind) was only flushed")
        return fdatasync(transfer.file) == 0 ? .done : status(of: -Int(errno), .flush)
    }

    /// Makes a range read as zeros: by deallocating it, by converting it, or by writing zeros, depending on the file
    /// system.
    static func zero(_ transfer: Transfer) -> MemberStatus {
        assert(transfer.kind == .punch || transfer.kind == .zero, "a \(transfer.kind) became zeros")
        let offset = Int64(transfer.byteOffset)
        let length = Int64(transfer.byteCount)
        var result =
            transfer.kind == .punch
            ? nbdext_punch_hole(transfer.file, offset, length)
            : nbdext_zero_range(transfer.file, offset, length)
        if result == -EOPNOTSUPP { result = writeZeroes(transfer) }
        return result == 0 ? .done : status(of: Int(result), transfer.kind)
    }

    private static func writeZeroes(_ transfer: Transfer) -> Int32 {
        let blockByteCount = min(transfer.byteCount, 1 << 20)
        let block = UnsafeMutableRawPointer.allocate(byteCount: blockByteCount, alignment: 4096)
        block.initializeMemory(as: UInt8.self, repeating: 0, count: blockByteCount)
        defer { block.deallocate() }
        var done = 0
        while done < transfer.byteCount {
            var vector = iovec(iov_base: block, iov_len: min(blockByteCount, transfer.byteCount - done))
            let count = nbdext_pwritev(transfer.file, &vector, 1, Int64(transfer.byteOffset) + Int64(done), 0)
            guard count > 0 else { return Int32(count) }
            done += count
        }
        return 0
    }
}
