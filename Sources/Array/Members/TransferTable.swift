import Glibc
import MemberIO

/// One system call's worth of member I/O: a range of a file, and the memory of up to `vectorCountMax` operations that
/// are adjacent in it.
struct Transfer: BitwiseCopyable {
    var kind = MemberIO.Kind.read
    var place: Place = 0
    var file: Int32 = -1
    var byteOffset: UInt64 = 0
    var byteCount = 0
    var vectorCount: Int32 = 0
}

/// The transfers that a lane has under way, with their vectors and tokens. The memory never moves.
final class TransferTable {
    /// The most operations that one transfer joins.
    static let vectorCountMax = 16
    static let capacity = 512

    let transfers: UnsafeMutablePointer<Transfer>
    private let vectors: UnsafeMutablePointer<iovec>
    private let tokens: UnsafeMutablePointer<UInt64>
    private let free: UnsafeMutablePointer<UInt32>
    private var freeCount = TransferTable.capacity

    init() {
        transfers = .allocate(capacity: Self.capacity)
        transfers.initialize(repeating: Transfer(), count: Self.capacity)
        vectors = .allocate(capacity: Self.capacity * Self.vectorCountMax)
        tokens = .allocate(capacity: Self.capacity * Self.vectorCountMax)
        free = .allocate(capacity: Self.capacity)
        for index in 0..<Self.capacity { free[index] = UInt32(index) }
    }

    deinit {
        transfers.deallocate()
        vectors.deallocate()
        tokens.deallocate()
        free.deallocate()
    }

    var isFull: Bool { freeCount == 0 }
    var usedCount: Int { Self.capacity - freeCount }

    /// Makes a transfer of operations that are adjacent on one member. The table must not be full.
    func claim(_ ios: UnsafeBufferPointer<MemberIO>, file: Int32) -> Int {
        assert(!isFull, "a transfer was begun, and there is no room for it")
        assert(!ios.isEmpty && ios.count <= Self.vectorCountMax, "a transfer of \(ios.count) operations")
        freeCount -= 1
        let index = Int(free[freeCount])
        assert(!isUsed(index), "transfer \(index) is free, and under way")
        let first = ios[0]
        var byteCount = 0
        for position in 0..<ios.count {
            let io = ios[position]
            assert(
                io.kind == first.kind && io.place == first.place
                    && io.byteOffset == first.byteOffset + UInt64(byteCount),
                "operations that are not adjacent became one transfer")
            vectors(of: index)[position] = iovec(iov_base: io.memory, iov_len: Int(io.byteCount))
            tokens[index * Self.vectorCountMax + position] = io.token
            byteCount += Int(io.byteCount)
        }
        transfers[index] = Transfer(
            kind: first.kind, place: first.place, file: file, byteOffset: first.byteOffset, byteCount: byteCount,
            vectorCount: Int32(ios.count))
        return index
    }

    func vectors(of index: Int) -> UnsafeMutablePointer<iovec> { vectors + index * Self.vectorCountMax }

    /// Ends a transfer. Each of its operations gets the outcome `status`.
    func release(_ index: Int, status: MemberStatus, into completions: inout [MemberCompletion]) {
        assert(isUsed(index), "transfer \(index) ends, which is not under way")
        let transfer = transfers[index]
        for position in 0..<Int(transfer.vectorCount) {
            completions.append(
                MemberCompletion(
                    token: tokens[index * Self.vectorCountMax + position], place: transfer.place, status: status))
        }
        transfers[index].vectorCount = 0
        free[freeCount] = UInt32(index)
        freeCount += 1
    }

    /// Whether a transfer is under way: one that is not has no operations.
    private func isUsed(_ index: Int) -> Bool {
        index >= 0 && index < Self.capacity && transfers[index].vectorCount > 0
    }

    /// Drops the first `byteCount` bytes of a transfer, which are done.
    func advance(_ index: Int, by byteCount: Int) {
        assert(isUsed(index), "transfer \(index) goes on, which is not under way")
        assert(
            byteCount > 0 && byteCount <= transfers[index].byteCount,
            "\(byteCount) bytes were moved, and \(transfers[index].byteCount) were left")
        let vectors = vectors(of: index)
        var rest = byteCount
        var position = 0
        while rest > 0 {
            let step = min(rest, vectors[position].iov_len)
            vectors[position].iov_base = vectors[position].iov_base.map { $0 + step }
            vectors[position].iov_len -= step
            rest -= step
            if vectors[position].iov_len == 0 { position += 1 }
        }
        transfers[index].byteOffset += UInt64(byteCount)
        transfers[index].byteCount -= byteCount
    }
}
