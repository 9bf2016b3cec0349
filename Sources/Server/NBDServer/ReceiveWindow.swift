import BlockStorage
import Glibc
import NBDProtocol
import Platform

/// The bytes that a connection has received and not yet understood: a range of a payload chunk.
///
/// Payloads stay where the socket put them. Requests are received in large pieces, many at a time; when the window is
/// empty, the next header is put 28 bytes before a page, so that its payload is aligned. A request that does not fit in
/// an ordinary chunk has a chunk of its own, with which it leaves the window.
struct ReceiveWindow {
    /// -1 for none: then the window is empty.
    var chunk = -1
    var start = 0
    var end = 0
    /// The size of the request at the front, with its header; 0 while the header is not there. Nobody reads the header
    /// again for it: a driver's process could change it.
    var requestByteCount = 0
    /// A part of the request at the front is still to come, and its header is there. Under the connection's lock.
    var lacksBytes = false
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
    /// Requests that are larger, header included, need a chunk of their own.
    static let ordinaryByteCountMax = PayloadChunks.chunkByteCount - firstStart
    /// So much of such a request has to come before memory is claimed for the rest of it: an announcement costs a
    /// client nothing, and is worth no memory.
    static let earnestByteCount = NBD.requestByteCount + largePayloadByteCount

    var byteCount: Int { end - start }

    mutating func takeEarly(into memory: UnsafeMutableRawBufferPointer) -> Bool {
        let count = min(early.count, memory.count)
        memory.copyBytes(from: early[..<count])
        early.removeFirst(count)
        end += count
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
            window.requestByteCount = 0
            window.lacksBytes = false
            guard window.byteCount >= NBD.requestByteCount else { return .needsBytes }
            let memory = chunks.extent(window.chunk).baseAddress! + window.start
            guard let header = RequestHeader(parsing: memory) else { return .end }
            if header.command == NBD.commandDisconnect { return .end }
            // A payload beyond what was announced is not worth receiving.
            guard header.payloadByteCount <= Int(NBD.payloadByteCountMax) else { return .end }
            window.requestByteCount = NBD.requestByteCount + header.payloadByteCount
            window.lacksBytes = window.byteCount < window.requestByteCount
            if window.lacksBytes { return .needsBytes }
            guard let tag = freeTags.last else { return .needsRoom }
            guard accept(header, tag, payload: memory + NBD.requestByteCount) else { return .needsRoom }
            freeTags.removeLast()
            window.start += window.requestByteCount
            window.expectedPayloadByteCount =
                header.payloadByteCount >= ReceiveWindow.largePayloadByteCount ? header.payloadByteCount : 0
            byteCount += header.payloadByteCount + requests[Int(tag)].dataByteCount
            if window.requestByteCount > ReceiveWindow.ordinaryByteCountMax { dropWindow() }
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

    /// Memory for read data: a chunk of its own for a large read, else behind that of the last read while its chunk has
    /// room.
    private func claimReadMemory(
        _ byteCount: Int, _ request: UnsafeMutablePointer<PendingRequest>
    ) -> UnsafeMutableRawPointer? {
        let needed = (byteCount + 4095) & ~4095
        if needed > PayloadChunks.chunkByteCount {
            guard let index = claimChunk(needed) else { return nil }
            request.pointee.chunk = index
            return chunks.extent(index).baseAddress!
        }
        if readChunk.index >= 0 {
            if chunks.isExclusive(readChunk.index) { readChunk.used = 0 }
            if readChunk.used + needed > PayloadChunks.chunkByteCount { dropReadChunk() }
        }
        if readChunk.index < 0 {
            guard let index = claimChunk(needed) else { return nil }
            readChunk = (index, 0)
        }
        // What it waited for may not be needed any more.
        chunks.stopWaiting()
        chunks.retain(readChunk.index)
        request.pointee.chunk = readChunk.index
        defer { readChunk.used += needed }
        return chunks.extent(readChunk.index).baseAddress! + readChunk.used
    }

    private func dropReadChunk() {
        chunks.release(readChunk.index)
        readChunk.index = -1
    }

    /// Claims a chunk. An idle one gives way before others' memory is asked for.
    private func claimChunk(_ byteCount: Int) -> Int? {
        if readChunk.index >= 0, !chunks.hasOwn, chunks.isExclusive(readChunk.index) { dropReadChunk() }
        return chunks.claim(byteCount: byteCount)
    }

    /// Makes room behind the window for what comes next.
    /// - Returns: where to receive, and how much at most; nil when there is no memory for it now.
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
        // Who receives may sleep for long, and so waits for nothing else.
        chunks.stopWaiting()
        let extent = chunks.extent(window.chunk)
        var limit = ReceiveWindow.receiveByteCount
        if isLarge || wanted > NBD.requestByteCount + ReceiveWindow.largePayloadByteCount {
            limit = wanted - window.byteCount
        }
        return UnsafeMutableRawBufferPointer(
            start: extent.baseAddress! + window.end, count: max(0, min(limit, extent.count - window.end)))
    }

    /// Puts the empty window where its next payload is aligned: at the front of its chunk if nothing there is in use.
    private func rewind() {
        guard window.chunk >= 0 else { return }
        if chunks.isExclusive(window.chunk) {
            window.start = ReceiveWindow.firstStart
        } else {
            window.start = (window.end + NBD.requestByteCount + 4095) / 4096 * 4096 - NBD.requestByteCount
        }
        window.end = window.start
    }

    /// Takes the part of a request that is in the window to where so much of it fits: to the front of its chunk if
    /// nothing else there is in use, or to another chunk.
    private func moveWindow(wanted: Int) -> Bool {
        let byteCount = ReceiveWindow.firstStart + wanted
        let count = window.byteCount
        let source = window.chunk < 0 ? nil : chunks.extent(window.chunk).baseAddress! + window.start
        if window.chunk < 0 || !chunks.isExclusive(window.chunk) || chunks.extent(window.chunk).count < byteCount {
            guard let chunk = claimChunk(byteCount) else { return false }
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

    /// Leaves the chunk of a large request, which fills the window, to the request.
    private func dropWindow() {
        chunks.release(window.chunk)
        window.chunk = -1
        window.start = 0
        window.end = 0
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
