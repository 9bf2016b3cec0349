import BlockStorage
import Glibc
import NBDProtocol
import Platform

/// The bytes that a connection has received and not parsed yet: a range of a payload chunk.
///
/// Payloads are not copied. The socket is read in large pieces that hold many requests. When the window is empty, the
/// next header goes 28 bytes before a page, so that its payload is aligned. A request that does not fit in an ordinary
/// chunk gets a chunk of its own, and takes it along when it leaves the window.
struct ReceiveWindow {
    /// The chunk's index; -1 for none, and then the window is empty.
    var chunk = -1
    var start = 0
    var end = 0
    /// Bytes of the request at the front, header included; 0 while its header is incomplete. It is kept because the
    /// header must not be read twice: a driver's process could change it in between.
    var requestByteCount = 0
    /// Whether the request at the front has its header but not all of its payload. Under the connection's lock.
    var lacksBytes = false
    /// Payload bytes of the last request if it was a large write, else 0. The next request is probably alike, and is
    /// received without the start of its successor.
    var expectedPayloadByteCount = 0
    /// Bytes that were received with the handshake, or with an earlier lane.
    var early: [UInt8] = []

    /// Where the first header of a fresh chunk goes.
    static let firstStart = 4096 - NBD.requestByteCount
    /// Payloads of at least this many bytes are received by themselves.
    static let largePayloadByteCount = 64 << 10
    /// The most bytes of one receive.
    static let receiveByteCount = 256 << 10
    /// The largest request, header included, that fits in an ordinary chunk. Larger ones need a chunk of their own.
    static let ordinaryByteCountMax = PayloadChunks.chunkByteCount - firstStart
    /// Bytes of a large request that must arrive before memory is claimed for the rest: to announce a request costs a
    /// client nothing.
    static let earnestByteCount = NBD.requestByteCount + largePayloadByteCount

    var byteCount: Int { end - start }

    /// Moves bytes that were received earlier behind the window.
    mutating func takeEarly(into memory: UnsafeMutableRawBufferPointer) {
        let count = min(early.count, memory.count)
        memory.copyBytes(from: early[..<count])
        early.removeFirst(count)
        end += count
    }
}

/// What came of receiving.
enum ReceiveResult {
    /// Bytes, perhaps.
    case more
    /// Nothing, for some time, and no request is under way.
    case idle
    case end(ConnectionEnd)
}

/// Why parsing stopped.
enum ParseResult {
    /// The batch is full; there may be more in the window.
    case more
    case needsBytes
    /// Every tag is taken, or there is no memory for a read.
    case needsRoom
    /// The client disconnects, or has broken the protocol.
    case end(ConnectionEnd)
}

/// Receiving and parsing requests. All of it runs on the connection's thread, under its lock.
extension Connection {
    /// Turns complete requests in the window into a batch.
    func parse() -> ParseResult {
        // Once for all: its strings are counted references.
        let export = export!
        var byteCount = 0
        while true {
            if byteCount >= Self.batchByteCountMax { return .more }
            window.requestByteCount = 0
            window.lacksBytes = false
            guard window.byteCount >= NBD.requestByteCount else { return .needsBytes }
            let memory = chunks.extent(window.chunk).baseAddress! + window.start
            guard let header = RequestHeader(parsing: memory) else {
                return .end(.violation(.requestMagic(RequestHeader.magic(of: memory))))
            }
            if header.command == .disc { return .end(.disconnected) }
            // The server announces its largest payload. It does not receive a larger one just to refuse it.
            guard header.payloadByteCount <= Int(NBD.payloadByteCountMax) else {
                return .end(.violation(.payload(byteCount: header.byteCount)))
            }
            window.requestByteCount = NBD.requestByteCount + header.payloadByteCount
            window.lacksBytes = window.byteCount < window.requestByteCount
            if window.lacksBytes { return .needsBytes }
            guard let tag = freeTags.last,
                accept(header, tag, payload: memory + NBD.requestByteCount, for: export)
            else { return .needsRoom }
            freeTags.removeLast()
            window.start += window.requestByteCount
            window.expectedPayloadByteCount =
                header.payloadByteCount >= ReceiveWindow.largePayloadByteCount ? header.payloadByteCount : 0
            if requests[Int(tag)].chunk >= 0 { byteCount += Int(header.byteCount) }
            if window.requestByteCount > ReceiveWindow.ordinaryByteCountMax { dropWindow() }
        }
    }

    /// Puts a request into the batch, or its refusal into the reply queue.
    /// - Returns: false when there is no memory.
    private func accept(
        _ header: RequestHeader, _ tag: UInt16, payload: UnsafeMutableRawPointer, for export: ExportDescription
    ) -> Bool {
        let request = requests + Int(tag)
        request.pointee = PendingRequest(cookie: header.cookie)
        if let refusal = header.validate(for: export, isStructured: isStructured) {
            request.pointee.error = refusal.error
            log.note(header, refusal)
            replies.append(tag)
            return true
        }
        let block = blocks + Int(tag)
        block.pointee = BlockRequest(
            operation: BlockRequest.Operation(header.command), tag: tag, byteOffset: header.byteOffset,
            byteCount: header.byteCount)
        if header.hasFUA { block.pointee.flags.insert(.forceUnitAccess) }
        if header.hasNoHole { block.pointee.flags.insert(.noHole) }
        switch block.pointee.operation {
        case .read:
            guard let claimed = chunks.claimForRead(byteCount: Int(header.byteCount)) else { return false }
            request.pointee.chunk = claimed.chunk
            block.pointee.buffer = claimed.memory
        case .write:
            chunks.retain(window.chunk)
            request.pointee.chunk = window.chunk
            block.pointee.buffer = payload
        case .flush, .trim, .writeZeroes: break
        }
        batch.append(tag)
        return true
    }

    /// Makes room behind the window for the next bytes.
    /// - Returns: the memory to receive into; nil when there is none now.
    func prepareWindow() -> UnsafeMutableRawBufferPointer? {
        if window.byteCount == 0 { rewind() }
        var wanted =
            window.requestByteCount > 0
            ? window.requestByteCount : NBD.requestByteCount + window.expectedPayloadByteCount
        let isLarge = wanted > ReceiveWindow.ordinaryByteCountMax
        if isLarge && window.byteCount < ReceiveWindow.earnestByteCount { wanted = ReceiveWindow.earnestByteCount }
        let room = window.chunk < 0 ? 0 : chunks.extent(window.chunk).count - window.start
        if room < max(wanted, ReceiveWindow.largePayloadByteCount) {
            guard moveWindow(wanted: wanted) else { return nil }
        }
        // A receive may sleep for long, so the connection leaves the queue for memory first.
        chunks.stopWaiting()
        let extent = chunks.extent(window.chunk)
        var limit = ReceiveWindow.receiveByteCount
        if isLarge || wanted > NBD.requestByteCount + ReceiveWindow.largePayloadByteCount {
            limit = wanted - window.byteCount
        }
        return UnsafeMutableRawBufferPointer(
            start: extent.baseAddress! + window.end, count: max(0, min(limit, extent.count - window.end)))
    }

    /// Moves the empty window so that the next payload is aligned: to the front of its chunk if nothing else uses the
    /// chunk.
    private func rewind() {
        guard window.chunk >= 0 else { return }
        if chunks.isExclusive(window.chunk) {
            window.start = ReceiveWindow.firstStart
        } else {
            window.start = (window.end + NBD.requestByteCount + 4095) / 4096 * 4096 - NBD.requestByteCount
        }
        window.end = window.start
    }

    /// Moves the partial request in the window to memory with room for `wanted` bytes: to the front of its chunk if
    /// nothing else uses the chunk, or to another chunk.
    /// - Returns: false when there is no memory.
    private func moveWindow(wanted: Int) -> Bool {
        let byteCount = ReceiveWindow.firstStart + wanted
        let count = window.byteCount
        let source = window.chunk < 0 ? nil : chunks.extent(window.chunk).baseAddress! + window.start
        if window.chunk < 0 || !chunks.isExclusive(window.chunk) || chunks.extent(window.chunk).count < byteCount {
            guard let chunk = chunks.claim(byteCount: byteCount) else { return false }
            if let source {
                memcpy(chunks.extent(chunk).baseAddress! + ReceiveWindow.firstStart, source, count)
                chunks.release(window.chunk)
            }
            window.chunk = chunk
        } else if let source {
            memmove(chunks.extent(window.chunk).baseAddress! + ReceiveWindow.firstStart, source, count)
        }
        window.start = ReceiveWindow.firstStart
        window.end = window.start + count
        return true
    }

    /// Leaves the window's chunk to the large request that fills it.
    private func dropWindow() {
        chunks.release(window.chunk)
        window.chunk = -1
        window.start = 0
        window.end = 0
    }
}

extension BlockRequest.Operation {
    /// The operation of a command that `RequestHeader.validate` has accepted.
    init(_ command: NBDCommand) {
        precondition(
            command == .read || command == .write || command == .flush || command == .trim || command == .writeZeroes,
            "a command that was let through has an operation")
        // No switch: its comparisons would be calls through tables.
        self =
            if command == .read {
                .read
            } else if command == .write {
                .write
            } else if command == .flush {
                .flush
            } else if command == .trim {
                .trim
            } else {
                .writeZeroes
            }
    }
}
