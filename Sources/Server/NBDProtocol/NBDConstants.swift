/// The numbers of the NBD protocol, grouped by the phase in which they are used. Names in comments are the protocol
/// text's.
package enum NBD {
    // Handshake.

    /// NBDMAGIC: "NBDMAGIC".
    package static let magic: UInt64 = 0x4E42_444D_4147_4943
    /// IHAVEOPT, which also begins each option.
    package static let optionMagic: UInt64 = 0x4948_4156_454F_5054
    package static let optionReplyMagic: UInt64 = 0x0003_E889_0455_65A9
    /// NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES; the client flags have the same values.
    package static let flagFixedNewstyle: UInt16 = 1
    package static let flagNoZeroes: UInt16 = 2

    // Options.

    package static let optionExportName: UInt32 = 1
    package static let optionAbort: UInt32 = 2
    package static let optionList: UInt32 = 3
    package static let optionInfo: UInt32 = 6
    package static let optionGo: UInt32 = 7
    package static let optionStructuredReply: UInt32 = 8

    // Option replies.

    package static let replyAck: UInt32 = 1
    package static let replyServer: UInt32 = 2
    package static let replyInfo: UInt32 = 3
    package static let replyErrorUnsupported: UInt32 = 0x8000_0001
    package static let replyErrorPolicy: UInt32 = 0x8000_0002
    package static let replyErrorInvalid: UInt32 = 0x8000_0003
    package static let replyErrorUnknown: UInt32 = 0x8000_0006
    package static let replyErrorTooBig: UInt32 = 0x8000_0009

    package static let infoExport: UInt16 = 0
    package static let infoName: UInt16 = 1
    package static let infoDescription: UInt16 = 2
    package static let infoBlockSize: UInt16 = 3

    // Transmission flags (NBD_FLAG_...).

    package static let flagHasFlags: UInt16 = 1 << 0
    package static let flagReadOnly: UInt16 = 1 << 1
    package static let flagSendFlush: UInt16 = 1 << 2
    package static let flagSendFUA: UInt16 = 1 << 3
    package static let flagSendTrim: UInt16 = 1 << 5
    package static let flagSendWriteZeroes: UInt16 = 1 << 6
    package static let flagSendDF: UInt16 = 1 << 7
    package static let flagCanMultiConn: UInt16 = 1 << 8

    // Requests.

    package static let requestMagic: UInt32 = 0x2560_9513
    package static let requestByteCount = 28

    package static let commandRead: UInt16 = 0
    package static let commandWrite: UInt16 = 1
    package static let commandDisconnect: UInt16 = 2
    package static let commandFlush: UInt16 = 3
    package static let commandTrim: UInt16 = 4
    package static let commandWriteZeroes: UInt16 = 6

    /// NBD_CMD_FLAG_FUA, _NO_HOLE, _DF.
    package static let commandFlagFUA: UInt16 = 1 << 0
    package static let commandFlagNoHole: UInt16 = 1 << 1
    package static let commandFlagDF: UInt16 = 1 << 2

    // Replies.

    package static let simpleReplyMagic: UInt32 = 0x6744_6698
    package static let simpleReplyByteCount = 16
    package static let structuredReplyMagic: UInt32 = 0x668E_33EF
    package static let structuredReplyByteCount = 20
    package static let replyFlagDone: UInt16 = 1
    package static let chunkNone: UInt16 = 0
    package static let chunkOffsetData: UInt16 = 1
    package static let chunkError: UInt16 = 1 << 15 | 1

    /// The largest payload of a read or write, and the maximum block size that is announced.
    package static let payloadByteCountMax: UInt32 = 32 << 20
}

/// The error numbers that may travel (NBD_EPERM ...).
package enum NBDError: UInt32, Sendable, BitwiseCopyable {
    case none = 0
    case notPermitted = 1
    case inputOutput = 5
    case invalid = 22
    case noSpace = 28
    case overflow = 75
    case shutdown = 108
}
