/// Why the server refuses a request. The client gets `error`, and the connection goes on.
package enum RequestRefusal: Sendable, BitwiseCopyable, Hashable, CaseIterable {
    /// The command is unknown, or is not supported.
    case command
    /// A flag is not allowed with the command, or was not negotiated.
    case flags
    /// A flush has an offset or a length.
    case flushRange
    /// The command writes, and the export is read-only.
    case readOnly
    /// The export cannot be trimmed.
    case trim
    /// The payload of a write, or of a simple reply to a read, is above the maximum payload size.
    case payload
    /// The payload of a structured reply is above the maximum payload size.
    case replyPayload
    /// The length is 0.
    case emptyRange
    /// A read or a trim goes beyond the export's end.
    case readBeyondEnd
    /// A command that writes goes beyond the export's end.
    case writeBeyondEnd

    /// The error that the client gets (proto.md, "Error values").
    package var error: NBDError {
        switch self {
        case .command, .flags, .flushRange, .trim, .payload, .emptyRange, .readBeyondEnd: .invalid
        case .readOnly: .notPermitted
        // NBD_EOVERFLOW is for clients that may ask for replies in one piece (NBD_CMD_FLAG_DF).
        case .replyPayload: .overflow
        case .writeBeyondEnd: .noSpace
        }
    }

    /// One line for the log: the request, the error, and the reason.
    package func text(of header: RequestHeader, to export: ExportDescription) -> String {
        "\(header) is refused with \(error): \(reason(header, export))"
    }

    private func reason(_ header: RequestHeader, _ export: ExportDescription) -> String {
        switch self {
        case .command: "this server does not support the command"
        case .flags: "the command flags are \(header.flags), and not all of them are allowed here"
        case .flushRange: "offset and length of a flush are reserved and must be 0"
        case .readOnly: "the export \(export.name) is read-only"
        case .trim: "the export \(export.name) does not announce NBD_FLAG_SEND_TRIM"
        case .payload, .replyPayload: "the maximum payload size is \(NBD.payloadByteCountMax) bytes"
        case .emptyRange: "the length must not be 0"
        case .readBeyondEnd, .writeBeyondEnd: "the export \(export.name) ends at byte \(export.byteCount)"
        }
    }
}

/// A violation of the protocol in the transmission phase, after which the connection must end (proto.md, "Terminating
/// the transmission phase").
package enum ProtocolViolation: Sendable, Equatable, CustomStringConvertible {
    /// A request does not begin with NBD_REQUEST_MAGIC.
    case requestMagic(UInt32)
    /// The payload of a write is above the maximum payload size. It is not worth receiving.
    case payload(byteCount: UInt32)

    package var description: String {
        switch self {
        case .requestMagic(let magic):
            "a request begins with 0x\(String(magic, radix: 16)) instead of NBD_REQUEST_MAGIC"
        case .payload(let byteCount):
            "NBD_CMD_WRITE announces \(byteCount) bytes, and the maximum payload size is \(NBD.payloadByteCountMax)"
        }
    }
}
