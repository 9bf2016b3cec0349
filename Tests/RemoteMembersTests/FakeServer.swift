import Glibc
import Platform
import Synchronization
import TestSupport

/// An NBD server with one export in memory, which does what a test wants with each request. It shakes hands the old way
/// (the sixteen bytes "NBDMAGIC" and 0x420281861253, size and flags), which has no options, or the new way for
/// structured replies.
final class FakeServer: @unchecked Sendable {
    // SAFETY: `bytes` is used by the server's thread, and by tests while nothing is under way; the rest by `state`.
    enum Kind: UInt16, Sendable {
        case read, write, disconnect, flush, trim, cache, writeZeroes
    }

    struct Request: Sendable, Equatable {
        var kind: Kind
        var flags: UInt16
        var byteOffset: UInt64
        var byteCount: Int
    }

    enum Answer: Sendable {
        case done
        /// One of the protocol's error numbers, with nothing done.
        case error(UInt32)
        case silence
        case hangUp
        /// A structured reply of these parts of what was read, by their places in it, and then one that says that this
        /// was all.
        case parts([Range<Int>])
    }

    struct Flags: OptionSet, Sendable {
        let rawValue: UInt16
        static let fixed = Flags(rawValue: 1)
        static let readOnly = Flags(rawValue: 2)
        static let flush = Flags(rawValue: 4)
        static let fua = Flags(rawValue: 8)
        static let trim = Flags(rawValue: 32)
        static let writeZeroes = Flags(rawValue: 64)
        static let usual: Flags = [.fixed, .flush, .trim, .writeZeroes]
    }

    private struct State {
        var requests: [Request] = []
        var isStopped = false
        var client: Int32 = -1
    }

    let path: String
    let bytes: UnsafeMutableRawBufferPointer
    private let flags: Flags
    private let isStructured: Bool
    private let answer: @Sendable (Request) -> Answer
    private let state = Mutex(State())
    private let listener: Int32
    private let ended = OneShotEvent()

    /// - Parameters:
    ///   - flags: what the export is said to be able to do.
    ///   - path: where to listen; a new place when nil.
    ///   - isStructured: whether it has structured replies; reads need `.parts` then.
    ///   - shakesHands: false for a server that takes connections and says nothing.
    ///   - answer: decides about each request, on the server's thread.
    init(
        byteCount: Int = 1 << 20, flags: Flags = .usual, path: String? = nil, isStructured: Bool = false,
        shakesHands: Bool = true,
        answer: @escaping @Sendable (Request) -> Answer = { _ in .done }
    ) throws {
        self.flags = flags
        self.isStructured = isStructured
        self.answer = answer
        self.path = path ?? "/tmp/nbdext-test-\(UInt32.random(in: 0 ... .max)).sock"
        bytes = .allocate(byteCount: byteCount, alignment: 4096)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        unlink(self.path)
        listener = try UnixSocket.listen(on: self.path, backlog: 4)
        try OSThread(name: "fake server") { [self] in
            if shakesHands { serve() }
            ended.set()
        }.detach()
    }

    deinit { bytes.deallocate() }

    var uri: String { "nbd+unix:///?socket=\(path)" }
    var requests: [Request] { state.withLock { $0.requests } }

    /// Whether the export holds one byte's value in a range, and another's everywhere else.
    func holds(_ byte: UInt8, in range: Range<Int>, else other: UInt8) -> Bool {
        let expected = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 16)
        defer { expected.deallocate() }
        memset(expected, Int32(other), bytes.count)
        memset(expected + range.lowerBound, Int32(byte), range.count)
        return memcmp(expected, bytes.baseAddress!, bytes.count) == 0
    }

    /// Ends the connection and listens no more, from outside of `answer`.
    func stop() {
        state.withLock { state in
            state.isStopped = true
            if state.client >= 0 { shutdown(state.client, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        ended.wait()
        close(listener)
        unlink(path)
    }

    // MARK: The server's thread

    private func serve() {
        while !state.withLock({ $0.isStopped }) {
            let client = accept(listener, nil, nil)
            guard client >= 0 else { return }
            let isStopped = state.withLock { state in
                state.client = client
                return state.isStopped
            }
            if !isStopped { serve(client) }
            state.withLock { $0.client = -1 }
            close(client)
        }
    }

    private func serve(_ client: Int32) {
        guard isStructured ? negotiate(with: client) : shakeHands(with: client) else { return }
        while let (request, cookie) = receive(from: client) {
            state.withLock { $0.requests.append(request) }
            guard request.kind != .disconnect else { return }
            var data = [UInt8](repeating: 0, count: request.kind == .write ? request.byteCount : 0)
            guard receive(&data, from: client) else { return }
            switch answer(request) {
            case .done: guard reply(0, carryOut(request, data), cookie, to: client) else { return }
            case .error(let code): guard reply(code, [], cookie, to: client) else { return }
            case .parts(let parts): guard send(parts, of: request, cookie, to: client) else { return }
            case .silence: break
            case .hangUp: return
            }
        }
    }

    private func shakeHands(with client: Int32) -> Bool {
        var hello: [UInt8] = Array("NBDMAGIC".utf8)
        hello += Self.bigEndian(0x0000_4202_8186_1253 as UInt64)
        hello += Self.bigEndian(UInt64(bytes.count))
        hello += Self.bigEndian(UInt32(flags.rawValue))
        hello += [UInt8](repeating: 0, count: 124)
        return send(hello, to: client)
    }

    /// The new way: structured replies and one export, and no other options.
    private func negotiate(with client: Int32) -> Bool {
        var clientFlags = [UInt8](repeating: 0, count: 4)
        guard send(Array("NBDMAGICIHAVEOPT".utf8) + Self.bigEndian(3 as UInt16), to: client),
            receive(&clientFlags, from: client)
        else { return false }
        while true {
            var header = [UInt8](repeating: 0, count: 16)
            guard receive(&header, from: client) else { return false }
            var data = [UInt8](repeating: 0, count: Int(header[14]) << 8 | Int(header[15]))
            guard receive(&data, from: client) else { return false }
            func reply(_ kind: UInt32, _ data: [UInt8] = []) -> Bool {
                send(
                    Self.bigEndian(0x3_E889_0455_65A9 as UInt64) + header[8..<12] + Self.bigEndian(kind)
                        + Self.bigEndian(UInt32(data.count)) + data, to: client)
            }
            switch header[11] {
            case 7:
                let export = [0, 0] + Self.bigEndian(UInt64(bytes.count)) + Self.bigEndian(flags.rawValue)
                return reply(3, export) && reply(1)
            case 8: guard reply(1) else { return false }
            default: guard reply(1 << 31 | 1) else { return false }
            }
        }
    }

    private func send(_ parts: [Range<Int>], of request: Request, _ cookie: [UInt8], to client: Int32) -> Bool {
        func chunk(_ flags: UInt16, _ kind: UInt16, _ data: [UInt8]) -> [UInt8] {
            Self.bigEndian(0x668E_33EF as UInt32) + Self.bigEndian(flags) + Self.bigEndian(kind) + cookie
                + Self.bigEndian(UInt32(data.count)) + data
        }
        let start = Int(request.byteOffset)
        let chunks = parts.map { part in
            let place = start + part.lowerBound
            return chunk(0, 1, Self.bigEndian(UInt64(place)) + bytes[place..<place + part.count])
        }
        return send(chunks.reduce([], +) + chunk(1, 0, []), to: client)
    }

    private func carryOut(_ request: Request, _ data: [UInt8]) -> [UInt8] {
        let range = Int(request.byteOffset)..<Int(request.byteOffset) + request.byteCount
        switch request.kind {
        case .read: return Array(bytes[range])
        case .write: UnsafeMutableRawBufferPointer(rebasing: bytes[range]).copyBytes(from: data)
        case .writeZeroes: fill(0, range)
        // What TRIM leaves is anything.
        case .trim: fill(0xA5, range)
        case .disconnect, .flush, .cache: break
        }
        return []
    }

    private func fill(_ byte: UInt8, _ range: Range<Int>) {
        memset(bytes.baseAddress! + range.lowerBound, Int32(byte), range.count)
    }

    private func receive(from client: Int32) -> (Request, cookie: [UInt8])? {
        var header = [UInt8](repeating: 0, count: 28)
        guard receive(&header, from: client) else { return nil }
        func number(_ range: Range<Int>) -> UInt64 { header[range].reduce(0) { $0 << 8 | UInt64($1) } }
        guard number(0..<4) == 0x2560_9513, let kind = Kind(rawValue: UInt16(number(6..<8))) else { return nil }
        let request = Request(
            kind: kind, flags: UInt16(number(4..<6)), byteOffset: number(16..<24), byteCount: Int(number(24..<28)))
        return (request, Array(header[8..<16]))
    }

    private func reply(_ error: UInt32, _ data: [UInt8], _ cookie: [UInt8], to client: Int32) -> Bool {
        send(Self.bigEndian(0x6744_6698 as UInt32) + Self.bigEndian(error) + cookie + data, to: client)
    }

    private func send(_ data: [UInt8], to client: Int32) -> Bool {
        var done = 0
        while done < data.count {
            let count = data.withUnsafeBytes {
                Glibc.send(client, $0.baseAddress! + done, data.count - done, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    private func receive(_ data: inout [UInt8], from client: Int32) -> Bool {
        var done = 0
        while done < data.count {
            let rest = data.count - done
            let count = data.withUnsafeMutableBytes { recv(client, $0.baseAddress! + done, rest, 0) }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    private static func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
