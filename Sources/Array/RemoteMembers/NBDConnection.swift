import CNBD
import Glibc
import Platform

/// A connection to a server: one libnbd handle.
///
/// Threads: one.
final class NBDConnection {
    private let handle: OpaquePointer
    private(set) var traits = ExportTraits()
    /// Why the connection has ended, once it has.
    private(set) var failure = "the server ended the connection"

    /// Connects and shakes hands.
    /// - Parameters:
    ///   - limit: the time for all of this, including the search for the server's address, milliseconds.
    ///   - interruption: a descriptor that ends the attempt when it becomes readable.
    ///   - connector: how the server is found.
    init(
        uri: String, limit: UInt64, interruption: Int32,
        connector: ConnectionStart.Connector = ConnectionStart.libnbd
    ) throws(RemoteProblem) {
        let deadline = monotonicMilliseconds() + limit
        guard let handle = nbd_create() else { throw RemoteProblem("not reachable: \(Self.lastError())") }
        if uri.hasPrefix("nbds") && nbd_supports_tls(handle) == 0 {
            nbd_close(handle)
            throw RemoteProblem(
                "not reachable: this machine's libnbd was built without TLS; install one with it, or say nbd instead "
                    + "of nbds where the network can be trusted")
        }
        // Certificates and keys are named in the URI, which is trusted as much as the array's directory.
        nbd_set_uri_allow_local_file(handle, true)
        nbd_add_meta_context(handle, Self.allocationContext)
        try ConnectionStart.run(handle, uri: uri, deadline: deadline, interruption: interruption, connector: connector)
        self.handle = handle
        while nbd_aio_is_ready(handle) == 0 {
            guard !isEnded else { throw RemoteProblem("not reachable: \(failure)") }
            let now = monotonicMilliseconds()
            guard now < deadline else {
                throw RemoteProblem(
                    "not reachable: no answer within \(limit) ms; does the server run, and does it take another client?"
                )
            }
            if wait(milliseconds: Int32(deadline - now), wakeup: interruption) == .woken {
                throw RemoteProblem("not reachable: the attempt was ended")
            }
        }
        traits = readTraits()
    }

    /// Frees the connection. libnbd does not touch the memory of operations after this.
    deinit { nbd_close(handle) }

    private static let allocationContext = "base:allocation"

    private func readTraits() -> ExportTraits {
        var traits = ExportTraits()
        traits.byteCount = UInt64(max(0, nbd_get_size(handle)))
        traits.isReadOnly = nbd_is_read_only(handle) == 1
        traits.canFlush = nbd_can_flush(handle) == 1
        traits.canWriteThrough = nbd_can_fua(handle) == 1
        traits.canZero = nbd_can_zero(handle) == 1
        traits.knowsHoles = nbd_can_meta_context(handle, Self.allocationContext) == 1
        // 0 and -1 mean that the server does not say.
        let smallest = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM)
        if smallest > 0 { traits.requestByteCountMin = Int(smallest) }
        let largest = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM)
        if largest > 0 { traits.requestByteCountMax = min(traits.requestByteCountMax, Int(largest)) }
        return traits
    }

    /// The error of the last libnbd call on this thread, without the function's name. It may contain the server's own
    /// words.
    static func lastError() -> String {
        guard let text = nbd_get_error() else { return "libnbd does not say why" }
        let words = ForeignText(String(cString: text), byteCountMax: 512).description
        guard words.hasPrefix("nbd_"), let colon = words.firstIndex(of: ":") else { return words }
        return String(words[words.index(after: colon)...].drop { $0 == " " })
    }

    /// Whether the connection can no longer be used.
    var isEnded: Bool { nbd_aio_is_dead(handle) != 0 || nbd_aio_is_closed(handle) != 0 }

    // MARK: Waiting

    /// How a wait has ended.
    enum Wait {
        /// The connection has sent or received whatever was possible, perhaps nothing.
        case transferred
        /// The wake-up descriptor is readable. Bytes may have been transferred as well.
        case woken
        case timedOut
    }

    /// Waits until bytes can be sent or received and transfers them, until the wake-up descriptor is readable, or for
    /// the given time; -1 means for ever. Operations that end meanwhile call back. A connection that has broken is
    /// ended by this.
    func wait(milliseconds: Int32, wakeup: Int32) -> Wait {
        let direction = Int32(bitPattern: nbd_aio_get_direction(handle))
        var events: Int32 = 0
        if direction & LIBNBD_AIO_DIRECTION_READ != 0 { events |= POLLIN }
        if direction & LIBNBD_AIO_DIRECTION_WRITE != 0 { events |= POLLOUT }
        return withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { polled in
            polled[0] = pollfd(fd: nbd_aio_get_fd(handle), events: Int16(events), revents: 0)
            polled[1] = pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)
            let count = poll(polled.baseAddress!, 2, milliseconds)
            // A signal interrupted the poll; the caller calls again.
            if count < 0 { return .transferred }
            if count == 0 { return .timedOut }
            // libnbd learns of a reset when it reads.
            let ready = Int32(polled[0].revents)
            if ready & (POLLIN | POLLHUP | POLLERR) != 0 && direction & LIBNBD_AIO_DIRECTION_READ != 0 {
                if nbd_aio_notify_read(handle) != 0 { failure = Self.lastError() }
            } else if ready & (POLLOUT | POLLHUP | POLLERR) != 0 {
                if nbd_aio_notify_write(handle) != 0 { failure = Self.lastError() }
            }
            return polled[1].revents != 0 ? .woken : .transferred
        }
    }

    // MARK: Requests

    /// Sends a request, or queues it. The callbacks tell `piece` of its end on this thread, during this call or a later
    /// one.
    /// - Parameter zeros: the memory to send when zeros are written as data.
    /// - Returns: 0, or the errno of a request that could not be sent and calls nobody back.
    func start(_ piece: UnsafeMutablePointer<RemotePiece>, of command: RemoteCommand, zeros: UnsafeRawPointer) -> Int32
    {
        let end = nbd_completion_callback(callback: RemotePiece.ended, user_data: piece, free: nil)
        let offset = piece.pointee.byteOffset
        let count = piece.pointee.byteCount
        let memory = command.memory.map { $0 + Int(offset - command.byteOffset) }
        let cookie: Int64
        switch command.kind {
        case .read:
            let chunks = nbd_chunk_callback(callback: RemotePiece.tookChunk, user_data: piece, free: nil)
            cookie = nbd_aio_pread_structured(handle, memory!, count, offset, chunks, end, 0)
        case .write: cookie = nbd_aio_pwrite(handle, memory!, count, offset, end, 0)
        case .durableWrite:
            let flags = traits.canWriteThrough ? UInt32(LIBNBD_CMD_FLAG_FUA) : 0
            cookie = nbd_aio_pwrite(handle, memory!, count, offset, end, flags)
        case .punch where command.sendsZeros, .zero where command.sendsZeros:
            cookie = nbd_aio_pwrite(handle, zeros, count, offset, end, 0)
        case .punch: cookie = nbd_aio_zero(handle, UInt64(count), offset, end, 0)
        case .zero: cookie = nbd_aio_zero(handle, UInt64(count), offset, end, UInt32(LIBNBD_CMD_FLAG_NO_HOLE))
        case .flush: cookie = nbd_aio_flush(handle, end, 0)
        case .blockStatus:
            let extents = nbd_extent_callback(callback: RemotePiece.tookExtents, user_data: piece, free: nil)
            cookie = nbd_aio_block_status(handle, UInt64(count), offset, extents, end, 0)
        }
        guard cookie < 0 else { return 0 }
        let code = nbd_get_errno()
        return code == 0 ? EIO : code
    }

    /// Sends a disconnect request and waits up to `limit` milliseconds for it to leave.
    func sayGoodbye(limit: UInt64) {
        guard nbd_aio_disconnect(handle, 0) == 0 else { return }
        let deadline = monotonicMilliseconds() + limit
        while !isEnded, monotonicMilliseconds() < deadline { _ = wait(milliseconds: 100, wakeup: -1) }
    }
}
