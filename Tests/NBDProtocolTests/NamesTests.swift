import NBDProtocol
import Testing

/// The protocol text's names: what a person finds in the log must be found in the text.
@Suite("NBD names")
struct NamesTests {
    @Test("options, commands, replies and errors have the protocol's names")
    func numbers() {
        #expect(
            (0...12).map { NBDOption(rawValue: $0).description } == [
                "option 0", "NBD_OPT_EXPORT_NAME", "NBD_OPT_ABORT", "NBD_OPT_LIST", "NBD_OPT_PEEK_EXPORT",
                "NBD_OPT_STARTTLS", "NBD_OPT_INFO", "NBD_OPT_GO", "NBD_OPT_STRUCTURED_REPLY",
                "NBD_OPT_LIST_META_CONTEXT", "NBD_OPT_SET_META_CONTEXT", "NBD_OPT_EXTENDED_HEADERS", "option 12",
            ])
        #expect(
            (0...9).map { NBDCommand(rawValue: $0).description } == [
                "NBD_CMD_READ", "NBD_CMD_WRITE", "NBD_CMD_DISC", "NBD_CMD_FLUSH", "NBD_CMD_TRIM", "NBD_CMD_CACHE",
                "NBD_CMD_WRITE_ZEROES", "NBD_CMD_BLOCK_STATUS", "NBD_CMD_RESIZE", "command 9",
            ])
        #expect(
            (1...10).map { NBDOptionReply(rawValue: 1 << 31 + $0).description }
                == [
                    "UNSUP", "POLICY", "INVALID", "PLATFORM", "TLS_REQD", "UNKNOWN", "SHUTDOWN", "BLOCK_SIZE_REQD",
                    "TOO_BIG", "EXT_HEADER_REQD",
                ].map { "NBD_REP_ERR_\($0)" })
        #expect((1...4).map { NBDOptionReply(rawValue: $0).isKnown } == [true, true, true, true])
        #expect((0...4).map { NBDInfo(rawValue: $0).isKnown } == [true, true, true, true, false])
        #expect(
            ([0, 1, 2, 5, 6, 0x8001, 0x8002] as [UInt16]).allSatisfy {
                NBDReplyType(rawValue: $0).description.hasPrefix("NBD_REPLY_TYPE_")
            })
        #expect(
            NBDError.allCases.map { "\($0) \($0.rawValue)" } == [
                "success 0", "NBD_EPERM 1", "NBD_EIO 5", "NBD_ENOMEM 12", "NBD_EINVAL 22", "NBD_ENOSPC 28",
                "NBD_EOVERFLOW 75", "NBD_ENOTSUP 95", "NBD_ESHUTDOWN 108",
            ])
    }

    @Test("flags are named one by one, and what has no name is shown as it is")
    func flags() {
        #expect(NBDCommandFlags(rawValue: 0).description == "no flags")
        #expect(
            NBDCommandFlags(rawValue: 0x3F).description.split(separator: ", ").map { $0.dropFirst(13) } == [
                "FUA", "NO_HOLE", "DF", "REQ_ONE", "FAST_ZERO", "PAYLOAD_LEN",
            ])
        #expect(NBDCommandFlags(rawValue: 0x41).description == "NBD_CMD_FLAG_FUA, 0x40")
        #expect(NBDClientFlags(rawValue: 0x8000_0002).description == "NBD_FLAG_C_NO_ZEROES, 0x80000000")
        #expect(NBDHandshakeFlags(rawValue: 3).description == "NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES")
        let named = NBDTransmissionFlags.names.reduce(UInt16(0)) { $0 | $1.flag.rawValue }
        #expect(named == 0x1FFF && NBDTransmissionFlags.names.count == 13)
        #expect(NBDReplyFlags(rawValue: 1).description == "NBD_REPLY_FLAG_DONE")
    }
}

/// What the log says of refusals.
@Suite("NBD refusals")
struct RefusalTextTests {
    private let export = ExportDescription(
        name: "a", description: "", byteCount: 1 << 20, preferredBlockByteCount: 4096, isReadOnly: false,
        supportsTrim: true)

    private static let cases: [(header: RequestHeader, isReadOnly: Bool, text: String)] = [
        (
            header(.cache), false,
            "NBD_CMD_CACHE of 512 bytes at 0 is refused with NBD_EINVAL: this server does not support the command"
        ),
        (
            header(NBDCommand(rawValue: 99)), false,
            "command 99 of 512 bytes at 0 is refused with NBD_EINVAL: this server does not support the command"
        ),
        (
            header(.read, flags: [.fua, .reqOne]), false,
            "NBD_CMD_READ of 512 bytes at 0 is refused with NBD_EINVAL: the command flags are NBD_CMD_FLAG_FUA, "
                + "NBD_CMD_FLAG_REQ_ONE, and not all of them are allowed here"
        ),
        (
            header(.flush), false,
            "NBD_CMD_FLUSH of 512 bytes at 0 is refused with NBD_EINVAL: offset and length of a flush are reserved and "
                + "must be 0"
        ),
        (
            header(.write), true,
            "NBD_CMD_WRITE of 512 bytes at 0 is refused with NBD_EPERM: the export a is read-only"
        ),
        (
            header(.read, count: (32 << 20) + 1), false,
            "NBD_CMD_READ of 33554433 bytes at 0 is refused with NBD_EOVERFLOW: the maximum payload size is 33554432 "
                + "bytes"
        ),
        (
            header(.writeZeroes, count: 0), false,
            "NBD_CMD_WRITE_ZEROES of 0 bytes at 0 is refused with NBD_EINVAL: the length must not be 0"
        ),
        (
            header(.trim, offset: 1 << 20), false,
            "NBD_CMD_TRIM of 512 bytes at 1048576 is refused with NBD_EINVAL: the export a ends at byte 1048576"
        ),
        (
            header(.writeZeroes, offset: 1 << 20), false,
            "NBD_CMD_WRITE_ZEROES of 512 bytes at 1048576 is refused with NBD_ENOSPC: the export a ends at byte 1048576"
        ),
    ]

    private static func header(
        _ command: NBDCommand, flags: NBDCommandFlags = [], offset: UInt64 = 0, count: UInt32 = 512
    ) -> RequestHeader {
        RequestHeader(flags: flags, command: command, cookie: 1, byteOffset: offset, byteCount: count)
    }

    @Test("requests: command, range, error and reason", arguments: cases.indices)
    func requests(index: Int) throws {
        let (header, isReadOnly, text) = Self.cases[index]
        var export = export
        export.isReadOnly = isReadOnly
        let refusal = try #require(header.validate(for: export, isStructured: true))
        #expect(refusal.text(of: header, to: export) == text)
    }

    @Test("violations")
    func violations() {
        #expect(
            ProtocolViolation.requestMagic(0x4141_4141).description
                == "a request begins with 0x41414141 instead of NBD_REQUEST_MAGIC")
        #expect(
            ProtocolViolation.payload(byteCount: 40_000_000).description
                == "NBD_CMD_WRITE announces 40000000 bytes, and the maximum payload size is 33554432")
    }
}
