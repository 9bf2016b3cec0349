import CNBD
import Glibc

/// A request that was sent to a server and has not been answered: an operation, or a part of one.
///
/// Its memory must not move, since libnbd holds its address.
struct RemotePiece {
    /// The task that the request belongs to, an index in a session's table.
    var task = 0
    var byteOffset: UInt64 = 0
    var byteCount = 0
    /// The time at which it was sent, by `monotonicMilliseconds`.
    var startTime: UInt64 = 0
    /// Bytes of a read that have not arrived. libnbd fills them with zeros and calls the read a success.
    var missingByteCount = 0
    /// The server's errno; 0 for none.
    var error: Int32 = 0
    /// Whether this is a block status request, which transfers no data.
    var asksStatus = false
    /// The receiver of the block status.
    var call: Unmanaged<RemoteCall>?
    /// The list of ended pieces that the session has not seen yet.
    var finished: UnsafeMutablePointer<FinishedPieces>

    /// libnbd's completion callback.
    static let ended: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>?) -> Int32 = {
        userData, error in
        let piece = userData!.assumingMemoryBound(to: RemotePiece.self)
        if piece.pointee.error == 0 { piece.pointee.error = error!.pointee }
        if piece.pointee.error == 0 && piece.pointee.missingByteCount != 0 { piece.pointee.error = EIO }
        piece.pointee.finished.pointee.add(piece)
        // 1 makes libnbd forget the command.
        return 1
    }

    /// libnbd's callback for a part of a read: data or a hole.
    static let tookChunk:
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafeRawPointer?, Int, UInt64, UInt32, UnsafeMutablePointer<Int32>?
        ) -> Int32 = { userData, _, count, _, kind, _ in
            let piece = userData!.assumingMemoryBound(to: RemotePiece.self)
            if kind != LIBNBD_READ_ERROR { piece.pointee.missingByteCount -= count }
            return 0
        }

    /// libnbd's extent callback.
    static let tookExtents:
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<CChar>?, UInt64, UnsafeMutablePointer<UInt32>?, Int,
            UnsafeMutablePointer<Int32>?
        ) -> Int32 = { userData, _, _, entries, count, _ in
            let piece = userData!.assumingMemoryBound(to: RemotePiece.self)
            let call = piece.pointee.call?.takeUnretainedValue()
            call?.extents += UnsafeBufferPointer(start: entries, count: count)
            return 0
        }
}

/// A list of the pieces that libnbd has called back for.
struct FinishedPieces {
    private let pieces: UnsafeMutablePointer<UnsafeMutablePointer<RemotePiece>>
    private(set) var count = 0

    init(capacity: Int) { pieces = .allocate(capacity: capacity) }

    func deallocate() { pieces.deallocate() }

    mutating func add(_ piece: UnsafeMutablePointer<RemotePiece>) {
        pieces[count] = piece
        count += 1
    }

    mutating func removeLast() -> UnsafeMutablePointer<RemotePiece>? {
        guard count > 0 else { return nil }
        count -= 1
        return pieces[count]
    }
}
