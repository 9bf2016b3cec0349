/// The server's side of the handshake, from the greeting to the transmission phase (proto.md, "Fixed newstyle
/// negotiation", and "Newstyle negotiation" for clients that know only NBD_OPT_EXPORT_NAME).
///
/// A state machine over bytes: the caller passes received bytes to `receive`, sends `output`, and does what the outcome
/// says. It keeps the bytes of at most one option.
package struct Negotiation: Sendable {
    /// What the connection does next.
    package enum Outcome: Sendable, Equatable {
        /// More bytes are needed.
        case needsMore
        /// The client chose an export; requests follow.
        case transmission(exportIndex: Int)
        /// The client has ended the session or broken the protocol: send `output`, then close.
        case close
    }

    /// The longest option that is read: an export name of 4096 bytes with some information requests.
    private static let optionByteCountMax: UInt32 = 16 << 10

    private enum State: Sendable {
        case clientFlags
        case optionHeader
        case optionData(option: UInt32, byteCount: UInt32)
        /// The rest of an option that is too long, skipped.
        case skipping(byteCount: UInt32)
    }

    private let exports: [ExportDescription]
    private var state = State.clientFlags
    private var input: [UInt8] = []
    private var isFixed = false
    private var noZeroes = false
    /// Whether structured replies were negotiated.
    package private(set) var isStructured = false
    /// Bytes to send; the caller empties it.
    package var output: [UInt8] = []

    /// Begins a handshake: the greeting is in `output`.
    /// - Parameter exports: at least one; the first is also the default export "".
    package init(exports: [ExportDescription]) {
        precondition(!exports.isEmpty)
        self.exports = exports
        append(NBD.magic)
        append(NBD.optionMagic)
        append(NBD.flagFixedNewstyle | NBD.flagNoZeroes)
    }

    /// Takes bytes that arrived.
    /// - Parameter admit: tells whether one more client can be served at the export with this index. It is called
    ///   before NBD_OPT_GO or NBD_OPT_EXPORT_NAME is acknowledged, once for each of them.
    /// - Returns: the next step. After `.transmission`, `takeRest` returns the bytes that belong to the requests.
    package mutating func receive(
        _ bytes: some Sequence<UInt8>, admitting admit: (_ exportIndex: Int) -> Bool
    ) -> Outcome {
        input.append(contentsOf: bytes)
        while true {
            switch state {
            case .clientFlags:
                guard let flags: UInt32 = take() else { return .needsMore }
                let known = UInt32(NBD.flagFixedNewstyle | NBD.flagNoZeroes)
                guard flags & ~known == 0 else { return .close }
                isFixed = flags & UInt32(NBD.flagFixedNewstyle) != 0
                noZeroes = flags & UInt32(NBD.flagNoZeroes) != 0
                state = .optionHeader
            case .optionHeader:
                guard input.count >= 16 else { return .needsMore }
                let magic: UInt64 = take()!
                let option: UInt32 = take()!
                let byteCount: UInt32 = take()!
                guard magic == NBD.optionMagic else { return .close }
                // A client without fixed newstyle does not know the replies to other options.
                guard isFixed || option == NBD.optionExportName else { return .close }
                if byteCount <= Self.optionByteCountMax {
                    state = .optionData(option: option, byteCount: byteCount)
                } else if option == NBD.optionExportName {
                    return .close
                } else {
                    reply(option, NBD.replyErrorTooBig, text: "the option is too long")
                    state = .skipping(byteCount: byteCount)
                }
            case .skipping(let byteCount):
                let skipped = min(Int(byteCount), input.count)
                input.removeFirst(skipped)
                guard skipped == Int(byteCount) else {
                    state = .skipping(byteCount: byteCount - UInt32(skipped))
                    return .needsMore
                }
                state = .optionHeader
            case .optionData(let option, let byteCount):
                guard input.count >= Int(byteCount) else { return .needsMore }
                let data = Array(input.prefix(Int(byteCount)))
                input.removeFirst(Int(byteCount))
                state = .optionHeader
                let outcome = answer(option, data, admit)
                if outcome != .needsMore { return outcome }
            }
        }
    }

    /// Removes and returns the bytes behind the handshake: the beginning of the requests.
    package mutating func takeRest() -> [UInt8] {
        defer { input = [] }
        return input
    }

    // MARK: Options

    private mutating func answer(_ option: UInt32, _ data: [UInt8], _ admit: (Int) -> Bool) -> Outcome {
        switch option {
        case NBD.optionExportName: return exportName(data, admit)
        case NBD.optionAbort:
            reply(option, NBD.replyAck)
            return .close
        case NBD.optionList: list(data)
        case NBD.optionInfo, NBD.optionGo: return info(option, data, admit)
        case NBD.optionStructuredReply:
            if data.isEmpty {
                isStructured = true
                reply(option, NBD.replyAck)
            } else {
                reply(option, NBD.replyErrorInvalid, text: "this option has no data")
            }
        default: reply(option, NBD.replyErrorUnsupported)
        }
        return .needsMore
    }

    /// NBD_OPT_EXPORT_NAME has no error reply: an unknown name or a refused client ends the connection.
    private mutating func exportName(_ data: [UInt8], _ admit: (Int) -> Bool) -> Outcome {
        guard let index = index(of: data), admit(index) else { return .close }
        append(exports[index].byteCount)
        append(exports[index].transmissionFlags(isStructured: isStructured))
        if !noZeroes { output.append(contentsOf: repeatElement(0, count: 124)) }
        return .transmission(exportIndex: index)
    }

    private mutating func list(_ data: [UInt8]) {
        guard data.isEmpty else {
            return reply(NBD.optionList, NBD.replyErrorInvalid, text: "this option has no data")
        }
        for export in exports {
            let name = Array(export.name.utf8)
            reply(
                NBD.optionList, NBD.replyServer, data: Self.bytes(UInt32(name.count)) + name + export.description.utf8)
        }
        reply(NBD.optionList, NBD.replyAck)
    }

    /// Answers NBD_OPT_INFO and NBD_OPT_GO, whose data is an export name and a list of information requests.
    private mutating func info(_ option: UInt32, _ data: [UInt8], _ admit: (Int) -> Bool) -> Outcome {
        guard data.count >= 6 else {
            reply(option, NBD.replyErrorInvalid, text: "the option is too short")
            return .needsMore
        }
        let nameByteCount = Int(Self.load(data[0..<4]))
        guard nameByteCount <= data.count - 6 else {
            reply(option, NBD.replyErrorInvalid, text: "the name is longer than the option")
            return .needsMore
        }
        let rest = Array(data[(4 + nameByteCount)...])
        let requestCount = Int(Self.load(rest[0..<2]))
        guard rest.count == 2 + 2 * requestCount else {
            reply(option, NBD.replyErrorInvalid, text: "the list of information requests has another length")
            return .needsMore
        }
        guard let index = index(of: Array(data[4..<4 + nameByteCount])) else {
            reply(option, NBD.replyErrorUnknown, text: "there is no such export; ask for a list")
            return .needsMore
        }
        guard option == NBD.optionInfo || admit(index) else {
            reply(option, NBD.replyErrorPolicy, text: "the server has as many clients as it can serve; try again later")
            return .needsMore
        }
        let requests = Set((0..<requestCount).map { UInt16(Self.load(rest[2 + 2 * $0..<4 + 2 * $0])) })
        describe(option, exports[index], requests)
        reply(option, NBD.replyAck)
        return option == NBD.optionGo ? .transmission(exportIndex: index) : .needsMore
    }

    /// Sends NBD_INFO_EXPORT and NBD_INFO_BLOCK_SIZE always, and other information on request.
    private mutating func describe(_ option: UInt32, _ export: ExportDescription, _ requests: Set<UInt16>) {
        let flags = export.transmissionFlags(isStructured: isStructured)
        reply(
            option, NBD.replyInfo,
            data: Self.bytes(NBD.infoExport) + Self.bytes(export.byteCount) + Self.bytes(flags))
        reply(
            option, NBD.replyInfo,
            data: Self.bytes(NBD.infoBlockSize) + Self.bytes(UInt32(1)) + Self.bytes(export.preferredBlockByteCount)
                + Self.bytes(NBD.payloadByteCountMax))
        if requests.contains(NBD.infoName) {
            reply(option, NBD.replyInfo, data: Self.bytes(NBD.infoName) + Array(export.name.utf8))
        }
        if requests.contains(NBD.infoDescription) {
            reply(option, NBD.replyInfo, data: Self.bytes(NBD.infoDescription) + Array(export.description.utf8))
        }
    }

    private func index(of name: [UInt8]) -> Int? {
        name.isEmpty ? 0 : exports.firstIndex { Array($0.name.utf8) == name }
    }

    // MARK: Bytes

    private mutating func reply(_ option: UInt32, _ type: UInt32, data: [UInt8] = []) {
        append(NBD.optionReplyMagic)
        append(option)
        append(type)
        append(UInt32(data.count))
        output += data
    }

    private mutating func reply(_ option: UInt32, _ type: UInt32, text: String) {
        reply(option, type, data: Array(text.utf8))
    }

    private mutating func append<Integer: FixedWidthInteger>(_ value: Integer) { output += Self.bytes(value) }

    private mutating func take<Integer: FixedWidthInteger>() -> Integer? {
        let count = MemoryLayout<Integer>.size
        guard input.count >= count else { return nil }
        let value = Self.load(input[..<count])
        input.removeFirst(count)
        return Integer(truncatingIfNeeded: value)
    }

    private static func load(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func bytes<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}
