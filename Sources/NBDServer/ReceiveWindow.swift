import BlockStorage
import Glibc
import NBDProtocol
import Platform

/// The bytes that a connection has received and not yet understood: a range of a payload chunk.
///
/// Payloads stay where the socket put them. Requests are received in large pieces, many at a time; when the window is
/// empty, the next header is put 28 bytes before a page, so that its payload is aligned.
struct ReceiveWindow {
    var chunk = -1
    var start = 0
    var end = 0
    /// The payload of the last request if it was a large write: the next one is probably alike, and is received
    /// without the beginning of its successor.
    var expectedPayloadByteCount = 0
    /// Bytes that came with the handshake.
    var early: [UInt8] = []

    /// Where the first header of a fresh chunk goes.
    static let firstStart = 4096 - NBD.requestByteCount
    /// Payloads of this size are received by themselves.
    static let largePayloadByteCount = 64 << 10
    /// What is asked of the socket at a time.
    static let receiveByteCount = 256 << 10

    var byteCount: Int { end - start }

    mutating func takeEarly(into memory: UnsafeMutableRawBufferPointer) -> Bool {
        let count = min(early.count, memory.count)
        memory.copyBytes(from: early[..<count])
        early.removeFirst(count)
        end += count
        return true
    }
}

extension PayloadChunks {
    /// Gives a window its first chunk. Returns false when the arena has none.
    mutating func claimWindow(_ window: inout ReceiveWindow) -> Bool {
        guard let chunk = claim(byteCount: Self.chunkByteCount) else { return false }
        window.chunk = chunk
        window.start = ReceiveWindow.firstStart
        window.end = window.start
        return true
    }
}

/// Why parsing stopped.
enum ParseResult {
    /// The batch is full; there may be more in the window.
    case more
    case needsBytes
    /// Every tag is taken, or there is no memory for a read.
    case needsRoom
    /// The client said goodbye, or something that cannot be understood.
    case end
}

/// Receiving and understanding requests; all on the connection's thread, under its lock.
extension Connection {
    /// Turns complete requests in the window into a batch.
    func parse() -> ParseResult {
        var byteCount = 0
        while true {
            if byteCount >= Self.batchByteCountMax { return .more }
            guard window.byteCount >= NBD.requestByteCount else { return .needsBytes }
            let memory = chunks.extent(window.chunk).baseAddress! + window.start
            guard let header = RequestHeader(parsing: memory) else { return .end }
            if header.command == NBD.commandDisconnect { return .end }
            // A payload beyond what was announced is not worth receiving.
            guard header.payloadByteCount <= Int(NBD.payloadByteCountMax) else { return .end }
            guard window.byteCount >= NBD.requestByteCount + header.payloadByteCount else { return .needsBytes }
            guard let tag = freeTags.last else { return .needsRoom }
            guard accept(header, tag, payload: memory + NBD.requestByteCount) else { return .needsRoom }
            freeTags.removeLast()
            window.start += NBD.requestByteCount + header.payloadByteCount
            window.expectedPayloadByteCount =
                header.payloadByteCount >= ReceiveWindow.largePayloadByteCount ? header.payloadByteCount : 0
            byteCount += header.payloadByteCount + requests[Int(tag)].dataByteCount
        }
    }

    /// Puts a request into the batch, or its refusal into the reply queue. Returns false when there is no memory.
    private func accept(_ header: RequestHeader, _ tag: UInt16, payload: UnsafeMutableRawPointer) -> Bool {
        let request = requests + Int(tag)
        request.pointee = PendingRequest(cookie: header.cookie, byteOffset: header.byteOffset)
        request.pointee.error = header.validate(for: export, isStructured: isStructured)
        guard request.pointee.error == .none else {
            replies.append(tag)
            return true
        }
        var block = BlockRequest(
            operation: BlockRequest.Operation(header.command), tag: tag, byteOffset: header.byteOffset,
            byteCount: header.byteCount)
        if header.flags & NBD.commandFlagFUA != 0 { block.flags.insert(.forceUnitAccess) }
        if header.flags & NBD.commandFlagNoHole != 0 { block.flags.insert(.noHole) }
        switch block.operation {
        case .read:
            guard let data = claimReadMemory(Int(header.byteCount), request) else { return false }
            request.pointee.data = data
            request.pointee.dataByteCount = Int(header.byteCount)
            block.buffer = data
        case .write:
            chunks.retain(window.chunk)
            request.pointee.chunk = window.chunk
            block.buffer = payload
        case .flush, .trim, .writeZeroes: break
        }
        batch.append(block)
        return true
    }

    /// Memory for read data, behind that of the last read while its chunk has room.
    private func claimReadMemory(
        _ byteCount: Int, _ request: UnsafeMutablePointer<PendingRequest>
    ) -> UnsafeMutableRawPointer? {
        let needed = (byteCount + 4095) & ~4095
        if readChunk.index >= 0 {
            if chunks.isExclusive(readChunk.index) { readChunk.used = 0 }
            if readChunk.used + needed > chunks.extent(readChunk.index).count {
                chunks.release(readChunk.index)
                readChunk.index = -1
            }
        }
        if readChunk.index < 0 {
            guard let index = chunks.claim(byteCount: needed) else { return nil }
            readChunk = (index, 0)
        }
        chunks.retain(readChunk.index)
        request.pointee.chunk = readChunk.index
        defer { readChunk.used += needed }
        return chunks.extent(readChunk.index).baseAddress! + readChunk.used
    }

    /// Makes room behind the window for what comes next.
    /// - Returns: where to receive, and how much at most; nil when there is no memory.
    func prepareWindow() -> UnsafeMutableRawBufferPointer? {
        let needed = neededByteCount
        if window.byteCount == 0 { rewind() }
        let room = chunks.extent(window.chunk).count - window.start
        if room < max(needed, ReceiveWindow.largePayloadByteCount) {
            guard moveWindow(needed: needed) else { return nil }
        }
        let extent = chunks.extent(window.chunk)
        var limit = min(extent.count - window.end, ReceiveWindow.receiveByteCount)
        if needed > NBD.requestByteCount + ReceiveWindow.largePayloadByteCount { limit = needed - window.byteCount }
        return UnsafeMutableRawBufferPointer(start: extent.baseAddress! + window.end, count: limit)
    }

    /// The bytes of the request at the front of the window, as far as it is known.
    private var neededByteCount: Int {
        guard window.byteCount >= NBD.requestByteCount,
            let header = RequestHeader(parsing: chunks.extent(window.chunk).baseAddress! + window.start)
        else { return NBD.requestByteCount + window.expectedPayloadByteCount }
        return NBD.requestByteCount + header.payloadByteCount
    }

    /// Puts the empty window where its next payload is aligned: at the front of its chunk if nothing there is in use.
    private func rewind() {
        if chunks.isExclusive(window.chunk) {
            window.start = ReceiveWindow.firstStart
        } else {
            window.start = (window.end + NBD.requestByteCount + 4095) / 4096 * 4096 - NBD.requestByteCount
        }
        window.end = window.start
    }

    /// Takes the window, and the part of a request in it, to another chunk.
    private func moveWindow(needed: Int) -> Bool {
        guard let chunk = chunks.claim(byteCount: ReceiveWindow.firstStart + needed) else { return false }
        let count = window.byteCount
        let target = chunks.extent(chunk).baseAddress! + ReceiveWindow.firstStart
        memcpy(target, chunks.extent(window.chunk).baseAddress! + window.start, count)
        chunks.release(window.chunk)
        window.chunk = chunk
        window.start = ReceiveWindow.firstStart
        window.end = window.start + count
        return true
    }
}

extension BlockRequest.Operation {
    /// The operation of a command that `RequestHeader.validate` let pass.
    init(_ command: UInt16) {
        self =
            switch command {
            case NBD.commandRead: .read
            case NBD.commandWrite: .write
            case NBD.commandFlush: .flush
            case NBD.commandTrim: .trim
            default: .writeZeroes
            }
    }
}
