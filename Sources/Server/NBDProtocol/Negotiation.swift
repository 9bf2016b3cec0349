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

    private static let handshakeFlags: NBDHandshakeFlags = [.fixedNewstyle, .noZeroes]
    /// The client flags that answer them.
    private static let clientFlags: NBDClientFlags = [.fixedNewstyle, .noZeroes]

    private enum State: Sendable {
        case clientFlags
        case optionHeader
        case optionData(option: NBDOption, byteCount: UInt32)
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
    /// The options that were answered with an error; the caller empties it.
    package var refusals: [OptionRefusal] = []
    /// The reason for the outcome `.close`; nil when the client has ended the session.
    package private(set) var closeReason: String?

    /// Begins a handshake: the greeting is in `output`.
    /// - Parameter exports: at least one; the first is also the default export "".
    package init(exports: [ExportDescription]) {
        precondition(!exports.isEmpty)
        self.exports = exports
        append(NBD.magic)
        append(NBD.optionMagic)
        append(Self.handshakeFlags.rawValue)
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
                guard let rawFlags: UInt32 = take() else { return .needsMore }
                let flags = NBDClientFlags(rawValue: rawFlags)
                guard flags.isSubset(of: Self.clientFlags) else {
                    return close("the client flags are \(flags), and not all of them were offered")
                }
                isFixed = flags.contains(.fixedNewstyle)
                noZeroes = flags.contains(.noZeroes)
                state = .optionHeader
            case .optionHeader:
                guard input.count >= 16 else { return .needsMore }
                let magic: UInt64 = take()!
                let option = NBDOption(rawValue: take()!)
                let byteCount: UInt32 = take()!
                guard magic == NBD.optionMagic else {
                    return close("an option begins with 0x\(String(magic, radix: 16)) instead of IHAVEOPT")
                }
                // A client without fixed newstyle does not know the replies to other options.
                guard isFixed || option == .exportName else {
                    return close("\(option) needs NBD_FLAG_C_FIXED_NEWSTYLE, which the client has not set")
                }
                if byteCount <= Self.optionByteCountMax {
                    state = .optionData(option: option, byteCount: byteCount)
                } else if option == .exportName {
                    return close("\(option) has a name of \(byteCount) bytes, and 4096 are allowed")
                } else {
                    refuse(option, .errTooBig, "the option is too long")
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

    private mutating func answer(_ option: NBDOption, _ data: [UInt8], _ admit: (Int) -> Bool) -> Outcome {
        switch option {
        case .exportName: return exportName(data, admit)
        case .abort:
            reply(option, .ack)
            return .close
        case .list: list(data)
        case .info, .go: return info(option, data, admit)
        case .structuredReply:
            if data.isEmpty {
                isStructured = true
                reply(option, .ack)
            } else {
                refuse(option, .errInvalid, "this option has no data")
            }
        default:
            reply(option, .errUnsup)
            refusals.append(OptionRefusal(option: option, reply: .errUnsup, reason: "this server does not support it"))
        }
        return .needsMore
    }

    /// NBD_OPT_EXPORT_NAME has no error reply: an unknown name or a refused client ends the connection.
    private mutating func exportName(_ data: [UInt8], _ admit: (Int) -> Bool) -> Outcome {
        guard let index = index(of: data) else {
            return close("NBD_OPT_EXPORT_NAME: there is no export \(Self.shown(data))")
        }
        guard admit(index) else { return close("NBD_OPT_EXPORT_NAME: \(Self.fullText)") }
        append(exports[index].byteCount)
        append(exports[index].transmissionFlags(isStructured: isStructured).rawValue)
        if !noZeroes { output.append(contentsOf: repeatElement(0, count: 124)) }
        return .transmission(exportIndex: index)
    }

    private mutating func list(_ data: [UInt8]) {
        guard data.isEmpty else { return refuse(.list, .errInvalid, "this option has no data") }
        for export in exports {
            let name = Array(export.name.utf8)
            reply(.list, .server, data: Self.bytes(UInt32(name.count)) + name + export.description.utf8)
        }
        reply(.list, .ack)
    }

    /// Answers NBD_OPT_INFO and NBD_OPT_GO, whose data is an export name and a list of information requests.
    private mutating func info(_ option: NBDOption, _ data: [UInt8], _ admit: (Int) -> Bool) -> Outcome {
        guard data.count >= 6 else {
            refuse(option, .errInvalid, "the option is too short")
            return .needsMore
        }
        let nameByteCount = Int(Self.load(data[0..<4]))
        guard nameByteCount <= data.count - 6 else {
            refuse(option, .errInvalid, "the name is longer than the option")
            return .needsMore
        }
        let rest = Array(data[(4 + nameByteCount)...])
        let requestCount = Int(Self.load(rest[0..<2]))
        guard rest.count == 2 + 2 * requestCount else {
            refuse(option, .errInvalid, "the list of information requests has another length")
            return .needsMore
        }
        let name = Array(data[4..<4 + nameByteCount])
        guard let index = index(of: name) else {
            refuse(
                option, .errUnknown, "there is no such export; ask for a list",
                logged: "there is no export \(Self.shown(name))")
            return .needsMore
        }
        guard option == .info || admit(index) else {
            refuse(option, .errPolicy, Self.fullText)
            return .needsMore
        }
        let requests = Set(
            (0..<requestCount).map { NBDInfo(rawValue: UInt16(Self.load(rest[2 + 2 * $0..<4 + 2 * $0]))) })
        describe(option, exports[index], requests)
        reply(option, .ack)
        return option == .go ? .transmission(exportIndex: index) : .needsMore
    }

    private static let fullText = "the server has as many clients as it can serve; try again later"

    /// The beginning of a name that a client has sent.
    private static func shown(_ name: [UInt8]) -> String { "\"\(String(decoding: name.prefix(100), as: UTF8.self))\"" }

    /// Sends NBD_INFO_EXPORT and NBD_INFO_BLOCK_SIZE always, and other information on request.
    private mutating func describe(_ option: NBDOption, _ export: ExportDescription, _ requests: Set<NBDInfo>) {
        let flags = export.transmissionFlags(isStructured: isStructured)
        inform(option, .export, Self.bytes(export.byteCount) + Self.bytes(flags.rawValue))
        inform(
            option, .blockSize,
            Self.bytes(UInt32(1)) + Self.bytes(export.preferredBlockByteCount) + Self.bytes(NBD.payloadByteCountMax))
        if requests.contains(.name) { inform(option, .name, Array(export.name.utf8)) }
        if requests.contains(.description) { inform(option, .description, Array(export.description.utf8)) }
    }

    private func index(of name: [UInt8]) -> Int? {
        name.isEmpty ? 0 : exports.firstIndex { Array($0.name.utf8) == name }
    }

    // MARK: Replies

    private mutating func close(_ reason: String) -> Outcome {
        closeReason = reason
        return .close
    }

    /// Answers an option with an error.
    /// - Parameters:
    ///   - text: the reason, for the client.
    ///   - logged: the reason for the log, if it is another.
    private mutating func refuse(
        _ option: NBDOption, _ error: NBDOptionReply, _ text: String, logged: String? = nil
    ) {
        reply(option, error, data: Array(text.utf8))
        refusals.append(OptionRefusal(option: option, reply: error, reason: logged ?? text))
    }

    private mutating func inform(_ option: NBDOption, _ information: NBDInfo, _ data: [UInt8]) {
        reply(option, .info, data: Self.bytes(information.rawValue) + data)
    }

    private mutating func reply(_ option: NBDOption, _ type: NBDOptionReply, data: [UInt8] = []) {
        append(NBD.optionReplyMagic)
        append(option.rawValue)
        append(type.rawValue)
        append(UInt32(data.count))
        output += data
    }

    // MARK: Bytes

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

/// An option that was answered with an error. The session goes on.
package struct OptionRefusal: Sendable, Equatable, CustomStringConvertible {
    /// The option.
    package let option: NBDOption
    /// The error that the client got.
    package let reply: NBDOptionReply
    /// What was wrong.
    package let reason: String

    /// One line for the log.
    package var description: String { "\(option) is refused with \(reply): \(reason)" }
}
