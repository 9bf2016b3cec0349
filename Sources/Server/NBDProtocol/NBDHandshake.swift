/// The server's flags in its greeting (proto.md, "Handshake flags").
package struct NBDHandshakeFlags: NBDFlags {
    /// The number that is sent.
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// NBD_FLAG_FIXED_NEWSTYLE
    package static let fixedNewstyle = Self(rawValue: 1 << 0)
    /// NBD_FLAG_NO_ZEROES
    package static let noZeroes = Self(rawValue: 1 << 1)

    package static var names: [(flag: Self, name: String)] {
        [
            (.fixedNewstyle, "NBD_FLAG_FIXED_NEWSTYLE"), (.noZeroes, "NBD_FLAG_NO_ZEROES"),
        ]
    }
}

/// The client's answer to the handshake flags (proto.md, "Client flags").
package struct NBDClientFlags: NBDFlags {
    /// The number that is sent.
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// NBD_FLAG_C_FIXED_NEWSTYLE
    package static let fixedNewstyle = Self(rawValue: 1 << 0)
    /// NBD_FLAG_C_NO_ZEROES
    package static let noZeroes = Self(rawValue: 1 << 1)

    package static var names: [(flag: Self, name: String)] {
        [
            (.fixedNewstyle, "NBD_FLAG_C_FIXED_NEWSTYLE"), (.noZeroes, "NBD_FLAG_C_NO_ZEROES"),
        ]
    }
}

/// An option that a client negotiates (proto.md, "Option types").
package struct NBDOption: NBDNumber {
    /// The number that is sent.
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// NBD_OPT_EXPORT_NAME
    package static let exportName = Self(rawValue: 1)
    /// NBD_OPT_ABORT
    package static let abort = Self(rawValue: 2)
    /// NBD_OPT_LIST
    package static let list = Self(rawValue: 3)
    /// NBD_OPT_PEEK_EXPORT: withdrawn; not supported.
    package static let peekExport = Self(rawValue: 4)
    /// NBD_OPT_STARTTLS: not supported.
    package static let startTLS = Self(rawValue: 5)
    /// NBD_OPT_INFO
    package static let info = Self(rawValue: 6)
    /// NBD_OPT_GO
    package static let go = Self(rawValue: 7)
    /// NBD_OPT_STRUCTURED_REPLY
    package static let structuredReply = Self(rawValue: 8)
    /// NBD_OPT_LIST_META_CONTEXT: not supported.
    package static let listMetaContext = Self(rawValue: 9)
    /// NBD_OPT_SET_META_CONTEXT: not supported.
    package static let setMetaContext = Self(rawValue: 10)
    /// NBD_OPT_EXTENDED_HEADERS: experimental; not supported.
    package static let extendedHeaders = Self(rawValue: 11)

    package static var kind: String { "option" }
    package var name: String? {
        switch self {
        case .exportName: "NBD_OPT_EXPORT_NAME"
        case .abort: "NBD_OPT_ABORT"
        case .list: "NBD_OPT_LIST"
        case .peekExport: "NBD_OPT_PEEK_EXPORT"
        case .startTLS: "NBD_OPT_STARTTLS"
        case .info: "NBD_OPT_INFO"
        case .go: "NBD_OPT_GO"
        case .structuredReply: "NBD_OPT_STRUCTURED_REPLY"
        case .listMetaContext: "NBD_OPT_LIST_META_CONTEXT"
        case .setMetaContext: "NBD_OPT_SET_META_CONTEXT"
        case .extendedHeaders: "NBD_OPT_EXTENDED_HEADERS"
        default: nil
        }
    }
}

/// The type of an option reply (proto.md, "Option reply types"). Errors have bit 31 set.
package struct NBDOptionReply: NBDNumber {
    /// The number that is sent.
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// NBD_REP_ACK
    package static let ack = Self(rawValue: 1)
    /// NBD_REP_SERVER
    package static let server = Self(rawValue: 2)
    /// NBD_REP_INFO
    package static let info = Self(rawValue: 3)
    /// NBD_REP_META_CONTEXT: not sent.
    package static let metaContext = Self(rawValue: 4)
    /// NBD_REP_ERR_UNSUP
    package static let errUnsup = Self(rawValue: 1 << 31 + 1)
    /// NBD_REP_ERR_POLICY
    package static let errPolicy = Self(rawValue: 1 << 31 + 2)
    /// NBD_REP_ERR_INVALID
    package static let errInvalid = Self(rawValue: 1 << 31 + 3)
    /// NBD_REP_ERR_PLATFORM: not sent.
    package static let errPlatform = Self(rawValue: 1 << 31 + 4)
    /// NBD_REP_ERR_TLS_REQD: not sent.
    package static let errTLSReqd = Self(rawValue: 1 << 31 + 5)
    /// NBD_REP_ERR_UNKNOWN
    package static let errUnknown = Self(rawValue: 1 << 31 + 6)
    /// NBD_REP_ERR_SHUTDOWN: not sent.
    package static let errShutdown = Self(rawValue: 1 << 31 + 7)
    /// NBD_REP_ERR_BLOCK_SIZE_REQD: not sent.
    package static let errBlockSizeReqd = Self(rawValue: 1 << 31 + 8)
    /// NBD_REP_ERR_TOO_BIG
    package static let errTooBig = Self(rawValue: 1 << 31 + 9)
    /// NBD_REP_ERR_EXT_HEADER_REQD: experimental; not sent.
    package static let errExtHeaderReqd = Self(rawValue: 1 << 31 + 10)

    package static var kind: String { "option reply" }
    package var name: String? {
        switch self {
        case .ack: "NBD_REP_ACK"
        case .server: "NBD_REP_SERVER"
        case .info: "NBD_REP_INFO"
        case .metaContext: "NBD_REP_META_CONTEXT"
        case .errUnsup: "NBD_REP_ERR_UNSUP"
        case .errPolicy: "NBD_REP_ERR_POLICY"
        case .errInvalid: "NBD_REP_ERR_INVALID"
        case .errPlatform: "NBD_REP_ERR_PLATFORM"
        case .errTLSReqd: "NBD_REP_ERR_TLS_REQD"
        case .errUnknown: "NBD_REP_ERR_UNKNOWN"
        case .errShutdown: "NBD_REP_ERR_SHUTDOWN"
        case .errBlockSizeReqd: "NBD_REP_ERR_BLOCK_SIZE_REQD"
        case .errTooBig: "NBD_REP_ERR_TOO_BIG"
        case .errExtHeaderReqd: "NBD_REP_ERR_EXT_HEADER_REQD"
        default: nil
        }
    }
}

/// The type of an information that NBD_OPT_INFO and NBD_OPT_GO ask for (proto.md, "Option reply types", NBD_REP_INFO).
package struct NBDInfo: NBDNumber {
    /// The number that is sent.
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// NBD_INFO_EXPORT
    package static let export = Self(rawValue: 0)
    /// NBD_INFO_NAME
    package static let name = Self(rawValue: 1)
    /// NBD_INFO_DESCRIPTION
    package static let description = Self(rawValue: 2)
    /// NBD_INFO_BLOCK_SIZE
    package static let blockSize = Self(rawValue: 3)

    package static var kind: String { "information" }
    package var name: String? {
        switch self {
        case .export: "NBD_INFO_EXPORT"
        case .name: "NBD_INFO_NAME"
        case .description: "NBD_INFO_DESCRIPTION"
        case .blockSize: "NBD_INFO_BLOCK_SIZE"
        default: nil
        }
    }
}

/// The features of an export (proto.md, "Transmission flags").
package struct NBDTransmissionFlags: NBDFlags {
    /// The number that is sent.
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// NBD_FLAG_HAS_FLAGS
    package static let hasFlags = Self(rawValue: 1 << 0)
    /// NBD_FLAG_READ_ONLY
    package static let readOnly = Self(rawValue: 1 << 1)
    /// NBD_FLAG_SEND_FLUSH
    package static let sendFlush = Self(rawValue: 1 << 2)
    /// NBD_FLAG_SEND_FUA
    package static let sendFUA = Self(rawValue: 1 << 3)
    /// NBD_FLAG_ROTATIONAL: not announced.
    package static let rotational = Self(rawValue: 1 << 4)
    /// NBD_FLAG_SEND_TRIM
    package static let sendTrim = Self(rawValue: 1 << 5)
    /// NBD_FLAG_SEND_WRITE_ZEROES
    package static let sendWriteZeroes = Self(rawValue: 1 << 6)
    /// NBD_FLAG_SEND_DF
    package static let sendDF = Self(rawValue: 1 << 7)
    /// NBD_FLAG_CAN_MULTI_CONN
    package static let canMultiConn = Self(rawValue: 1 << 8)
    /// NBD_FLAG_SEND_RESIZE: experimental; not announced.
    package static let sendResize = Self(rawValue: 1 << 9)
    /// NBD_FLAG_SEND_CACHE: not announced.
    package static let sendCache = Self(rawValue: 1 << 10)
    /// NBD_FLAG_SEND_FAST_ZERO: not announced.
    package static let sendFastZero = Self(rawValue: 1 << 11)
    /// NBD_FLAG_BLOCK_STATUS_PAYLOAD: experimental; not announced.
    package static let blockStatusPayload = Self(rawValue: 1 << 12)

    package static var names: [(flag: Self, name: String)] {
        [
            (.hasFlags, "NBD_FLAG_HAS_FLAGS"), (.readOnly, "NBD_FLAG_READ_ONLY"), (.sendFlush, "NBD_FLAG_SEND_FLUSH"),
            (.sendFUA, "NBD_FLAG_SEND_FUA"), (.rotational, "NBD_FLAG_ROTATIONAL"), (.sendTrim, "NBD_FLAG_SEND_TRIM"),
            (.sendWriteZeroes, "NBD_FLAG_SEND_WRITE_ZEROES"), (.sendDF, "NBD_FLAG_SEND_DF"),
            (.canMultiConn, "NBD_FLAG_CAN_MULTI_CONN"), (.sendResize, "NBD_FLAG_SEND_RESIZE"),
            (.sendCache, "NBD_FLAG_SEND_CACHE"), (.sendFastZero, "NBD_FLAG_SEND_FAST_ZERO"),
            (.blockStatusPayload, "NBD_FLAG_BLOCK_STATUS_PAYLOAD"),
        ]
    }
}
