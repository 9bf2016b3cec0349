import Glibc
import Synchronization

/// What becomes of a connection that its thread leaves.
enum ConnectionPause {
    /// It is over. The caller closes the descriptor.
    case ended
    /// Its client sends nothing.
    case idle
    /// It is in the queue for a lane, and perhaps has another thread already. The caller leaves it alone.
    case waitsForLane
}

/// Whether a connection goes on: its socket, and who has said that it is to end.
///
/// Threads: any, while the descriptor is open.
final class ConnectionState: Sendable {
    let descriptor: Int32
    /// The connection is broken, or was cut off: nothing is received or sent any more.
    private let broken = Atomic<Bool>(false)
    /// The errno with which sending failed; 0 while it has not.
    private let sendErrno = Atomic<Int32>(0)
    /// The server has cut the connection off.
    private let cut = Atomic<Bool>(false)
    private let finishing = Atomic<Bool>(false)
    private let negotiating = Atomic<Bool>(true)

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// Nothing is received or sent any more.
    var isBroken: Bool { broken.load(ordering: .acquiring) }
    /// The server has cut the connection off, so its end needs no words.
    var isCutOff: Bool { cut.load(ordering: .relaxed) }
    /// The server stops: what was received is finished.
    var isFinishing: Bool { finishing.load(ordering: .acquiring) }
    /// The end of a connection that is broken.
    var brokenEnd: ConnectionEnd { .broken(sendErrno.load(ordering: .relaxed)) }
    /// Why the socket has nothing more to receive: shutdown(2) of this side, or of the client's.
    var endOfStream: ConnectionEnd { isFinishing ? .stopped : isBroken ? brokenEnd : .closed }

    /// Looks at the socket of an idle client, which is readable. Does not block.
    /// - Returns: why there is nothing to receive any more; nil when there is.
    func endOfIdleStream() -> ConnectionEnd? {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        if count == 0 { return endOfStream }
        return count < 0 && errno != EAGAIN && errno != EINTR ? .broken(errno) : nil
    }

    /// Says that the handshake is done, before the client may send requests.
    func negotiated() { negotiating.store(false, ordering: .releasing) }

    /// Lets the connection finish what it has received, and end.
    func stopReceiving() {
        finishing.store(true, ordering: .releasing)
        // A handshake has no requests to finish.
        shutdown(descriptor, Int32(negotiating.load(ordering: .acquiring) ? SHUT_RDWR : SHUT_RD))
    }

    /// Ends the connection at once. Requests that the device has are finished; their replies are dropped.
    func cutOff() {
        cut.store(true, ordering: .relaxed)
        breakOff()
    }

    /// Ends a connection whose client takes no more replies.
    func breakOff(errno: Int32) {
        assert(errno != 0, "sending failed without a reason")
        sendErrno.store(errno, ordering: .relaxed)
        breakOff()
    }

    private func breakOff() {
        broken.store(true, ordering: .releasing)
        shutdown(descriptor, Int32(SHUT_RDWR))
    }
}
