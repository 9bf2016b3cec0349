import CLinux
import Glibc
import MemberIO

/// Executes a whole transfer with system calls on the calling thread.
enum DirectTransfer {
    /// What a negative errno, or no progress, means for an operation. A flush that finds no space has lost what was
    /// written before: that is no refusal but a failure.
    static func status(of error: Int, _ kind: MemberIO.Kind) -> MemberStatus {
        switch Int32(-error) {
        case ENOSPC, EDQUOT: kind == .flush ? .failed : .noSpace
        // What the block layer says of media (EIO, ENODATA) and of protected data (EILSEQ), and file systems of checksums.
        case EIO, ENODATA, EILSEQ, EBADMSG: kind.isRead ? .unreadable : .failed
        // What is wrong with an operation's memory or range says nothing of the member. A flush has neither: a system that
        // does not take it makes nothing durable.
        case EFAULT, EINVAL, ENOMEM: kind == .flush ? .failed : .refused
        default: .failed
        }
    }

    /// What an error means for the transfer that met it. A durable write writes and flushes; one that finds no space may
    /// have been refused, or have lost what was written before. Without the flush it shows which.
    static func failure(_ error: Int, of index: Int, in table: TransferTable) -> MemberStatus {
        let transfer = table.transfers[index]
        let status = status(of: error, transfer.kind)
        guard transfer.kind == .durableWrite, status == .noSpace else { return status }
        let again = nbdext_pwritev(
            transfer.file, table.vectors(of: index), transfer.vectorCount, Int64(transfer.byteOffset), 0)
        return again < 0 ? self.status(of: again, .write) : .failed
    }

    /// Reads or writes all of it; a file that ends early is a failure.
    static func run(_ index: Int, in table: TransferTable) -> MemberStatus {
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

    /// Reads all of it again, after the page cache has dropped what it holds of it. What is dirty there stays.
    static func reread(_ index: Int, in table: TransferTable) -> MemberStatus {
        let transfer = table.transfers[index]
        // Advice that is not taken leaves a read like any other.
        _ = posix_fadvise(
            transfer.file, off_t(transfer.byteOffset), off_t(transfer.byteCount), POSIX_FADV_DONTNEED)
        return run(index, in: table)
    }

    /// Reads what the page cache holds. Returns nil when the rest has to be waited for.
    static func readCached(_ index: Int, in table: TransferTable) -> MemberStatus? {
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
        fdatasync(transfer.file) == 0 ? .done : status(of: -Int(errno), .flush)
    }

    /// Makes a range read as zeros: by deallocating, by converting, or by writing, whatever the file system can.
    static func zero(_ transfer: Transfer) -> MemberStatus {
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
