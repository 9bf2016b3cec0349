/// The protocol's magic numbers and sizes. Its options, commands, flags and errors are types of their own, named as in
/// the protocol text: doc/proto.md of NetworkBlockDevice/nbd, whose headings are cited as "proto.md".
package enum NBD {
    /// The first bytes of a server's greeting, "NBDMAGIC" (proto.md, "Newstyle negotiation").
    package static let magic: UInt64 = 0x4E42_444D_4147_4943
    /// "IHAVEOPT": follows `magic`, and begins each option (proto.md, "Newstyle negotiation").
    package static let optionMagic: UInt64 = 0x4948_4156_454F_5054
    /// Begins each option reply (proto.md, "Fixed newstyle negotiation").
    package static let optionReplyMagic: UInt64 = 0x0003_E889_0455_65A9

    /// NBD_REQUEST_MAGIC (proto.md, "Request message").
    package static let requestMagic: UInt32 = 0x2560_9513
    /// Bytes of a request's header (proto.md, "Request message").
    package static let requestByteCount = 28
    /// NBD_SIMPLE_REPLY_MAGIC (proto.md, "Simple reply message").
    package static let simpleReplyMagic: UInt32 = 0x6744_6698
    /// Bytes of a simple reply's header.
    package static let simpleReplyByteCount = 16
    /// NBD_STRUCTURED_REPLY_MAGIC (proto.md, "Structured reply chunk message").
    package static let structuredReplyMagic: UInt32 = 0x668E_33EF
    /// Bytes of a structured reply chunk's header.
    package static let structuredReplyByteCount = 20

    /// The largest payload of a read or write, which is announced as the maximum payload size (proto.md, "Size
    /// constraints").
    package static let payloadByteCountMax: UInt32 = 32 << 20
}

/// A number of the protocol with a name in its text.
package protocol NBDNumber: RawRepresentable, Hashable, Sendable, BitwiseCopyable, CustomStringConvertible
where RawValue: FixedWidthInteger & UnsignedInteger {
    /// What the number is the number of: "option".
    static var kind: String { get }
    /// The protocol text's name, also of what this server does not support; nil for a number without a name.
    var name: String? { get }
}

extension NBDNumber {
    /// Whether the protocol text has the number.
    package var isKnown: Bool { name != nil }

    /// The protocol's name; for a number that has none, what it is and the number: "option 99".
    package var description: String { name ?? "\(Self.kind) \(rawValue)" }
}

/// Flags of the protocol with names in its text.
package protocol NBDFlags: OptionSet, Sendable, BitwiseCopyable, CustomStringConvertible
where RawValue: FixedWidthInteger & UnsignedInteger, Element == Self {
    /// Every name of the protocol text, also of what this server does not support.
    static var names: [(flag: Self, name: String)] { get }
}

extension NBDFlags {
    /// The protocol's names; bits without a name in hexadecimal: "NBD_CMD_FLAG_DF, 0x40".
    package var description: String {
        var rest = self
        var texts: [String] = []
        for (flag, name) in Self.names where contains(flag) {
            texts.append(name)
            rest.subtract(flag)
        }
        if !rest.isEmpty { texts.append("0x" + String(rest.rawValue, radix: 16)) }
        return texts.isEmpty ? "no flags" : texts.joined(separator: ", ")
    }
}
