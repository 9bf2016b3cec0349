/// The type of a request (proto.md, "Request types").
package struct NBDCommand: NBDNumber {
    /// The number that is sent.
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Equality of the numbers. The library's own, for any type with raw values, costs a call through tables.
    package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

    /// NBD_CMD_READ
    package static let read = Self(rawValue: 0)
    /// NBD_CMD_WRITE
    package static let write = Self(rawValue: 1)
    /// NBD_CMD_DISC
    package static let disc = Self(rawValue: 2)
    /// NBD_CMD_FLUSH
    package static let flush = Self(rawValue: 3)
    /// NBD_CMD_TRIM
    package static let trim = Self(rawValue: 4)
    /// NBD_CMD_CACHE: not supported.
    package static let cache = Self(rawValue: 5)
    /// NBD_CMD_WRITE_ZEROES
    package static let writeZeroes = Self(rawValue: 6)
    /// NBD_CMD_BLOCK_STATUS: not supported.
    package static let blockStatus = Self(rawValue: 7)
    /// NBD_CMD_RESIZE: experimental; not supported.
    package static let resize = Self(rawValue: 8)

    package static var kind: String { "command" }
    package var name: String? {
        switch self {
        case .read: "NBD_CMD_READ"
        case .write: "NBD_CMD_WRITE"
        case .disc: "NBD_CMD_DISC"
        case .flush: "NBD_CMD_FLUSH"
        case .trim: "NBD_CMD_TRIM"
        case .cache: "NBD_CMD_CACHE"
        case .writeZeroes: "NBD_CMD_WRITE_ZEROES"
        case .blockStatus: "NBD_CMD_BLOCK_STATUS"
        case .resize: "NBD_CMD_RESIZE"
        default: nil
        }
    }
}

/// The flags of a request (proto.md, "Command flags").
package struct NBDCommandFlags: NBDFlags {
    /// The number that is sent.
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// NBD_CMD_FLAG_FUA
    package static let fua = Self(rawValue: 1 << 0)
    /// NBD_CMD_FLAG_NO_HOLE
    package static let noHole = Self(rawValue: 1 << 1)
    /// NBD_CMD_FLAG_DF
    package static let df = Self(rawValue: 1 << 2)
    /// NBD_CMD_FLAG_REQ_ONE: not supported.
    package static let reqOne = Self(rawValue: 1 << 3)
    /// NBD_CMD_FLAG_FAST_ZERO: not supported.
    package static let fastZero = Self(rawValue: 1 << 4)
    /// NBD_CMD_FLAG_PAYLOAD_LEN: experimental; not supported.
    package static let payloadLen = Self(rawValue: 1 << 5)

    package static var names: [(flag: Self, name: String)] {
        [
            (.fua, "NBD_CMD_FLAG_FUA"), (.noHole, "NBD_CMD_FLAG_NO_HOLE"), (.df, "NBD_CMD_FLAG_DF"),
            (.reqOne, "NBD_CMD_FLAG_REQ_ONE"), (.fastZero, "NBD_CMD_FLAG_FAST_ZERO"),
            (.payloadLen, "NBD_CMD_FLAG_PAYLOAD_LEN"),
        ]
    }
}

/// The flags of a structured reply chunk (proto.md, "Structured reply flags").
package struct NBDReplyFlags: NBDFlags {
    /// The number that is sent.
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// NBD_REPLY_FLAG_DONE
    package static let done = Self(rawValue: 1 << 0)

    package static var names: [(flag: Self, name: String)] { [(.done, "NBD_REPLY_FLAG_DONE")] }
}

/// The type of a structured reply chunk (proto.md, "Structured reply types"). Errors have bit 15 set.
package struct NBDReplyType: NBDNumber {
    /// The number that is sent.
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// NBD_REPLY_TYPE_NONE
    package static let none = Self(rawValue: 0)
    /// NBD_REPLY_TYPE_OFFSET_DATA
    package static let offsetData = Self(rawValue: 1)
    /// NBD_REPLY_TYPE_OFFSET_HOLE: not sent.
    package static let offsetHole = Self(rawValue: 2)
    /// NBD_REPLY_TYPE_BLOCK_STATUS: not sent.
    package static let blockStatus = Self(rawValue: 5)
    /// NBD_REPLY_TYPE_BLOCK_STATUS_EXT: experimental; not sent.
    package static let blockStatusExt = Self(rawValue: 6)
    /// NBD_REPLY_TYPE_ERROR
    package static let error = Self(rawValue: 1 << 15 + 1)
    /// NBD_REPLY_TYPE_ERROR_OFFSET: not sent.
    package static let errorOffset = Self(rawValue: 1 << 15 + 2)

    package static var kind: String { "reply type" }
    package var name: String? {
        switch self {
        case .none: "NBD_REPLY_TYPE_NONE"
        case .offsetData: "NBD_REPLY_TYPE_OFFSET_DATA"
        case .offsetHole: "NBD_REPLY_TYPE_OFFSET_HOLE"
        case .blockStatus: "NBD_REPLY_TYPE_BLOCK_STATUS"
        case .blockStatusExt: "NBD_REPLY_TYPE_BLOCK_STATUS_EXT"
        case .error: "NBD_REPLY_TYPE_ERROR"
        case .errorOffset: "NBD_REPLY_TYPE_ERROR_OFFSET"
        default: nil
        }
    }
}

/// The error of a reply (proto.md, "Error values"). No others may travel.
package enum NBDError: UInt32, Sendable, BitwiseCopyable, CaseIterable, CustomStringConvertible {
    /// Success.
    case none = 0
    /// NBD_EPERM
    case notPermitted = 1
    /// NBD_EIO
    case inputOutput = 5
    /// NBD_ENOMEM: not sent.
    case noMemory = 12
    /// NBD_EINVAL
    case invalid = 22
    /// NBD_ENOSPC
    case noSpace = 28
    /// NBD_EOVERFLOW
    case overflow = 75
    /// NBD_ENOTSUP: for NBD_CMD_FLAG_FAST_ZERO; not sent.
    case notSupported = 95
    /// NBD_ESHUTDOWN
    case shutdown = 108

    package var description: String {
        switch self {
        case .none: "success"
        case .notPermitted: "NBD_EPERM"
        case .inputOutput: "NBD_EIO"
        case .noMemory: "NBD_ENOMEM"
        case .invalid: "NBD_EINVAL"
        case .noSpace: "NBD_ENOSPC"
        case .overflow: "NBD_EOVERFLOW"
        case .notSupported: "NBD_ENOTSUP"
        case .shutdown: "NBD_ESHUTDOWN"
        }
    }
}
