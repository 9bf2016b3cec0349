import NBDProtocol
import Platform
import Testing

private func bytes<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
}

private func option(_ option: NBDOption, _ data: [UInt8] = []) -> [UInt8] {
    bytes(NBD.optionMagic) + bytes(option.rawValue) + bytes(UInt32(data.count)) + data
}

private func goData(_ name: String, _ requests: [NBDInfo] = []) -> [UInt8] {
    bytes(UInt32(name.utf8.count)) + Array(name.utf8) + bytes(UInt16(requests.count))
        + requests.flatMap { bytes($0.rawValue) }
}

private let clientFlags = bytes(UInt32(3))

/// An option reply as it was sent.
private struct Reply: Equatable {
    var option: NBDOption
    var type: NBDOptionReply
    var data: [UInt8]

    /// Reads all replies behind the 18 bytes of the greeting.
    static func all(in output: [UInt8]) -> [Reply] {
        var replies: [Reply] = []
        var rest = output.dropFirst(18)
        while rest.count >= 20 {
            func number(_ range: Range<Int>) -> UInt32 {
                range.reduce(0) { $0 << 8 | UInt32(rest[rest.startIndex + $1]) }
            }
            let count = Int(number(16..<20))
            replies.append(
                Reply(
                    option: NBDOption(rawValue: number(8..<12)), type: NBDOptionReply(rawValue: number(12..<16)),
                    data: Array(rest.dropFirst(20).prefix(count))))
            rest = rest.dropFirst(20 + count)
        }
        return replies
    }
}

@Suite("NBD negotiation")
struct NegotiationTests {
    private let exports = [
        ExportDescription(
            name: "one", description: "first", byteCount: 0x0102_0304_0506, preferredBlockByteCount: 65536,
            isReadOnly: false, supportsTrim: true),
        ExportDescription(
            name: "two", description: "second", byteCount: 512, preferredBlockByteCount: 4096, isReadOnly: true,
            supportsTrim: true),
    ]

    /// Feeds all bytes at once.
    private func run(_ input: [UInt8]) -> (Negotiation.Outcome, Negotiation) {
        var negotiation = Negotiation(exports: exports)
        let outcome = negotiation.receive(input, admitting: { _ in true })
        return (outcome, negotiation)
    }

    @Test("greets as fixed newstyle")
    func greeting() {
        let output = Negotiation(exports: exports).output
        #expect(output == Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
    }

    @Test("GO gives size, flags and block sizes, and what was asked for")
    func go() {
        let (outcome, negotiation) = run(
            clientFlags + option(.structuredReply)
                + option(.go, goData("one", [.name, .description])))
        #expect(outcome == .transmission(exportIndex: 0))
        #expect(negotiation.isStructured)
        let replies = Reply.all(in: negotiation.output)
        #expect(replies.map(\.type) == [.ack, .info, .info, .info, .info, .ack])
        // HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, DF, MULTI_CONN.
        #expect(replies[1].data == [0, 0] + [0, 0, 1, 2, 3, 4, 5, 6] + [0x01, 0xED])
        #expect(replies[2].data == [0, 3] + bytes(UInt32(1)) + bytes(UInt32(65536)) + bytes(UInt32(32 << 20)))
        #expect(replies[3].data == [0, 1] + Array("one".utf8))
        #expect(replies[4].data == [0, 2] + Array("first".utf8))
    }

    @Test("bytes may come one at a time")
    func byteByByte() {
        let input = clientFlags + option(.list) + option(.go, goData("two"))
        let (_, whole) = run(input)
        var negotiation = Negotiation(exports: exports)
        for (index, byte) in input.enumerated() {
            let outcome = negotiation.receive([byte], admitting: { _ in true })
            #expect(outcome == (index == input.count - 1 ? .transmission(exportIndex: 1) : .needsMore))
        }
        #expect(negotiation.output == whole.output)
    }

    @Test("the empty name is the first export, and requests behind the handshake are kept")
    func defaultExport() {
        var (outcome, negotiation) = run(clientFlags + option(.go, goData("")) + [1, 2, 3])
        #expect(outcome == .transmission(exportIndex: 0))
        #expect(negotiation.takeRest() == [1, 2, 3])
    }

    @Test("LIST names every export; INFO goes on with options")
    func listAndInfo() {
        let (outcome, negotiation) = run(
            clientFlags + option(.list) + option(.info, goData("two")) + option(.abort))
        #expect(outcome == .close)
        let replies = Reply.all(in: negotiation.output)
        #expect(replies.map(\.type) == [.server, .server, .ack, .info, .info, .ack, .ack])
        #expect(replies[0].data == bytes(UInt32(3)) + Array("onefirst".utf8))
        // Read only: neither TRIM nor WRITE_ZEROES.
        #expect(replies[3].data.suffix(2) == [0x01, 0x0F])
    }

    @Test("EXPORT_NAME answers with size, flags and the zeroes that the client wants")
    func exportName() {
        let (outcome, negotiation) = run(bytes(UInt32(1)) + option(.exportName, Array("two".utf8)))
        #expect(outcome == .transmission(exportIndex: 1))
        #expect(negotiation.output.count == 18 + 8 + 2 + 124)
        let (unknown, _) = run(clientFlags + option(.exportName, Array("none".utf8)))
        #expect(unknown == .close)
    }

    @Test("a client without fixed newstyle is served by EXPORT_NAME, and by nothing else")
    func newstyle() {
        let (outcome, negotiation) = run(bytes(UInt32(0)) + option(.exportName, Array("two".utf8)))
        #expect(outcome == .transmission(exportIndex: 1))
        #expect(negotiation.output.count == 18 + 8 + 2 + 124)
        let (short, withoutZeroes) = run(bytes(UInt32(2)) + option(.exportName))
        #expect(short == .transmission(exportIndex: 0) && withoutZeroes.output.count == 18 + 8 + 2)
        for number in [NBDOption.go, .list, .abort, NBDOption(rawValue: 99)] {
            let (other, refused) = run(bytes(UInt32(0)) + option(number, number == .go ? goData("one") : []))
            // What it could not read is not sent.
            #expect(other == .close && refused.output.count == 18)
        }
    }

    @Test("a client too many hears so before it is told that it is attached, and may ask again")
    func tooMany() {
        var negotiation = Negotiation(exports: exports)
        let asking = clientFlags + option(.info, goData("two")) + option(.go, goData("two"))
        var asked: [Int] = []
        let refused = negotiation.receive(asking) {
            asked.append($0)
            return false
        }
        #expect(refused == .needsMore)
        // INFO promises nothing.
        #expect(asked == [1])
        #expect(Reply.all(in: negotiation.output).map(\.type) == [.info, .info, .ack, .errPolicy])
        let admitted = negotiation.receive(option(.go, goData("two")), admitting: { _ in true })
        #expect(admitted == .transmission(exportIndex: 1))
        var old = Negotiation(exports: exports)
        let closed = old.receive(clientFlags + option(.exportName), admitting: { _ in false })
        #expect(closed == .close && old.output.count == 18)
    }

    @Test("however the bytes are cut, the answers are the same, and one lane is asked for", arguments: 1...100)
    func cuts(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var input = bytes(UInt32(random.below(4)))
        for _ in 0..<random.below(6) {
            let name = ["", "one", "two", "none"][random.below(4)]
            let number = [NBDOption.list, .info, .go, .exportName, .startTLS, NBDOption(rawValue: 99)][random.below(6)]
            input += option(number, number == .exportName ? Array(name.utf8) : goData(name))
        }
        var isFull = SeededGenerator(seed: seed + 1000)
        var whole = Negotiation(exports: exports)
        var lanes = 0
        let expected = whole.receive(input) { _ in
            let isAdmitted = isFull.below(3) > 0
            if isAdmitted { lanes += 1 }
            return isAdmitted
        }
        isFull = SeededGenerator(seed: seed + 1000)
        var pieces = Negotiation(exports: exports)
        var outcome = Negotiation.Outcome.needsMore
        var rest = input[...]
        while !rest.isEmpty && outcome == .needsMore {
            let piece = rest.prefix(1 + random.below(20))
            rest = rest.dropFirst(piece.count)
            outcome = pieces.receive(piece) { _ in isFull.below(3) > 0 }
        }
        #expect(outcome == expected && pieces.output == whole.output, "seed \(seed)")
        if case .transmission = expected { #expect(lanes == 1) } else { #expect(lanes == 0) }
    }

    private static let refused: [(number: NBDOption, data: [UInt8], error: NBDOptionReply)] = [
        (.startTLS, [], .errUnsup), (.setMetaContext, [1, 2], .errUnsup), (NBDOption(rawValue: 99), [], .errUnsup),
        (.go, goData("none"), .errUnknown), (.go, [0, 0], .errInvalid),
        (.go, bytes(UInt32(100)) + [0, 0], .errInvalid),
        (.go, goData("one") + [0], .errInvalid), (.list, [0], .errInvalid),
        (.structuredReply, [0], .errInvalid),
        (.info, Array(repeating: 0, count: 20_000), .errTooBig),
    ]

    @Test("what cannot be done is refused, and negotiation goes on", arguments: refused.indices)
    func refusals(index: Int) {
        let (number, data, error) = Self.refused[index]
        let (outcome, negotiation) = run(clientFlags + option(number, data) + option(.go, goData("one")))
        #expect(outcome == .transmission(exportIndex: 0))
        let replies = Reply.all(in: negotiation.output)
        #expect(replies[0].option == number && replies[0].type == error)
        #expect(negotiation.refusals.map(\.option) == [number] && negotiation.refusals.map(\.reply) == [error])
        #expect(negotiation.closeReason == nil)
    }

    @Test("refusals name option, reply and reason, and a name's beginning only")
    func refusalTexts() {
        let long = String(repeating: "x", count: 5000)
        let (_, negotiation) = run(
            clientFlags + option(.startTLS) + option(.go, goData("none")) + option(.info, goData(long)))
        #expect(
            negotiation.refusals.map(\.description) == [
                "NBD_OPT_STARTTLS is refused with NBD_REP_ERR_UNSUP: this server does not support it",
                "NBD_OPT_GO is refused with NBD_REP_ERR_UNKNOWN: there is no export \"none\"",
                "NBD_OPT_INFO is refused with NBD_REP_ERR_UNKNOWN: there is no export \"\(long.prefix(100))\"",
            ])
    }

    @Test("wrong flags and wrong magic numbers end the connection")
    func brokenProtocol() {
        #expect(run(bytes(UInt32(4))).0 == .close)
        #expect(run(bytes(UInt32(7))).0 == .close)
        #expect(run(clientFlags + Array("IHAVEOPX".utf8) + bytes(UInt64(0))).0 == .close)
    }

    private static let closed: [(input: [UInt8], reason: String?)] = [
        (
            bytes(UInt32(7)),
            "the client flags are NBD_FLAG_C_FIXED_NEWSTYLE, NBD_FLAG_C_NO_ZEROES, 0x4, and not all of them were offered"
        ),
        (
            clientFlags + Array("IHAVEOPX".utf8) + bytes(UInt64(0)),
            "an option begins with 0x49484156454f5058 instead of IHAVEOPT"
        ),
        (
            bytes(UInt32(0)) + option(.list),
            "NBD_OPT_LIST needs NBD_FLAG_C_FIXED_NEWSTYLE, which the client has not set"
        ),
        (
            clientFlags + option(.exportName, Array("none".utf8)),
            "NBD_OPT_EXPORT_NAME: there is no export \"none\""
        ),
        (
            clientFlags + option(.exportName, Array(repeating: 65, count: 20_000)),
            "NBD_OPT_EXPORT_NAME has a name of 20000 bytes, and 4096 are allowed"
        ),
        (clientFlags + option(.abort), nil),
    ]

    @Test("a session that the server ends has a reason, one that the client ends has none", arguments: closed.indices)
    func closeReasons(index: Int) {
        let (input, reason) = Self.closed[index]
        let (outcome, negotiation) = run(input)
        #expect(outcome == .close)
        #expect(negotiation.closeReason == reason && negotiation.refusals.isEmpty)
    }

    @Test("random bytes never trap", arguments: 1...200)
    func randomBytes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var negotiation = Negotiation(exports: exports)
        _ = negotiation.receive(clientFlags, admitting: { _ in true })
        for _ in 0..<50 {
            let data = (0..<random.below(40)).map { _ in UInt8(random.below(8)) }
            let outcome = negotiation.receive(
                option(NBDOption(rawValue: UInt32(random.below(12))), data), admitting: { _ in true })
            if outcome != .needsMore { return }
        }
    }
}

@Suite("NBD requests and replies")
struct RequestTests {
    private let export = ExportDescription(
        name: "x", description: "", byteCount: 1 << 20, preferredBlockByteCount: 4096, isReadOnly: false,
        supportsTrim: true)

    private func header(
        _ command: NBDCommand, flags: NBDCommandFlags = [], offset: UInt64 = 0, count: UInt32 = 512
    ) -> RequestHeader {
        RequestHeader(flags: flags, command: command, cookie: 7, byteOffset: offset, byteCount: count)
    }

    @Test("parses a header")
    func parse() {
        let wire: [UInt8] = [
            0x25, 0x60, 0x95, 0x13, 0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0,
        ]
        let header = wire.withUnsafeBytes { RequestHeader(parsing: $0.baseAddress!) }
        #expect(header?.flags == .fua && header?.command == .write && header?.cookie == 0x0102_0304_0506_0708)
        #expect(header?.byteOffset == 4096 && header?.byteCount == 512 && header?.payloadByteCount == 512)
        var wrong = wire
        wrong[3] = 0x14
        #expect(wrong.withUnsafeBytes { RequestHeader(parsing: $0.baseAddress!) } == nil)
    }

    @Test("every refusal")
    func refusals() {
        func check(_ header: RequestHeader, _ error: NBDError, structured: Bool = true, _ line: Int = #line) {
            let refusal = header.validate(for: export, isStructured: structured)
            #expect((refusal?.error ?? .none) == error, "line \(line)")
        }
        check(header(.read), .none)
        check(header(.read, flags: .df), .none)
        check(header(.read, flags: .df), .invalid, structured: false)
        check(header(.write, flags: .fua), .none)
        check(header(.write, flags: .noHole), .invalid)
        check(header(.writeZeroes, flags: [.fua, .noHole]), .none)
        check(header(.writeZeroes, flags: .fastZero), .invalid)
        check(header(.flush, count: 0), .none)
        check(header(.flush), .invalid)
        check(header(.cache), .invalid)
        check(header(NBDCommand(rawValue: 99)), .invalid)
        check(header(.read, count: 0), .invalid)
        check(header(.read, offset: 1 << 20, count: 1), .invalid)
        check(header(.read, offset: .max, count: 1), .invalid)
        check(header(.write, offset: 1 << 20 - 1, count: 2), .noSpace)
        check(header(.trim, offset: 0, count: .max), .invalid)
        check(header(.read, count: (32 << 20) + 1), .overflow)
        check(header(.read, flags: .df, count: (32 << 20) + 1), .overflow)
        check(header(.read, count: (32 << 20) + 1), .invalid, structured: false)
        check(header(.write, count: (32 << 20) + 1), .invalid)
        var readOnly = export
        readOnly.isReadOnly = true
        #expect(header(.write).validate(for: readOnly, isStructured: true)?.error == .notPermitted)
        #expect(header(.trim).validate(for: readOnly, isStructured: true)?.error == .notPermitted)
        #expect(header(.flush, count: 0).validate(for: readOnly, isStructured: true) == nil)
        var fixed = export
        fixed.supportsTrim = false
        #expect(header(.trim).validate(for: fixed, isStructured: true)?.error == .invalid)
    }

    /// The bytes of a reply header.
    private func reply(_ error: NBDError, data: Int, structured: Bool) -> [UInt8] {
        var memory = [UInt8](repeating: 0xFF, count: ReplyHeader.byteCountMax)
        let count = memory.withUnsafeMutableBytes {
            ReplyHeader.write(
                to: $0.baseAddress!, cookie: 0x0A0B, error: error, byteOffset: 0x1000, dataByteCount: data,
                isStructured: structured)
        }
        return Array(memory[..<count])
    }

    @Test("simple and structured replies")
    func replies() {
        let cookie: [UInt8] = [0, 0, 0, 0, 0, 0, 0x0A, 0x0B]
        #expect(reply(.noSpace, data: 0, structured: false) == [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 28] + cookie)
        #expect(reply(.none, data: 512, structured: false).count == 16)
        let magic: [UInt8] = [0x66, 0x8E, 0x33, 0xEF]
        #expect(reply(.none, data: 0, structured: true) == magic + [0, 1, 0, 0] + cookie + [0, 0, 0, 0])
        #expect(
            reply(.none, data: 512, structured: true)
                == magic + [0, 1, 0, 1] + cookie + [0, 0, 2, 8] + [0, 0, 0, 0, 0, 0, 0x10, 0])
        #expect(
            reply(.inputOutput, data: 0, structured: true)
                == magic + [0, 1, 0x80, 1] + cookie + [0, 0, 0, 6] + [0, 0, 0, 5, 0, 0])
    }
}
