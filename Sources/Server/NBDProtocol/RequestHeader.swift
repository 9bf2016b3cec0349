/// The header of a request as received: 28 bytes, big-endian (proto.md, "Request message").
package struct RequestHeader: BitwiseCopyable, Sendable {
    /// The command flags.
    package var flags: UInt16
    /// The command.
    package var command: UInt16
    /// The client's identifier of the request; the reply repeats it.
    package var cookie: UInt64
    /// Where the request begins on the export, bytes.
    package var byteOffset: UInt64
    /// The request's length, bytes.
    package var byteCount: UInt32

    package init(flags: UInt16 = 0, command: UInt16, cookie: UInt64, byteOffset: UInt64, byteCount: UInt32) {
        self.flags = flags
        self.command = command
        self.cookie = cookie
        self.byteOffset = byteOffset
        self.byteCount = byteCount
    }

    /// Reads a header.
    /// - Parameter bytes: at least `NBD.requestByteCount` of them.
    /// - Returns: nil when the magic number is wrong. Then the rest of the stream cannot be parsed.
    package init?(parsing bytes: UnsafeRawPointer) {
        guard UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)) == NBD.requestMagic else { return nil }
        flags = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        command = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        cookie = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        byteOffset = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        byteCount = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    }

    /// Bytes of payload that follow the header.
    package var payloadByteCount: Int { command == NBD.commandWrite ? Int(byteCount) : 0 }

    /// Checks a request against the export. Every rule for a client's request is checked here.
    ///
    /// - Parameters:
    ///   - export: what is served.
    ///   - isStructured: whether structured replies were negotiated, which NBD_CMD_FLAG_DF needs.
    /// - Returns: `.none` when the request may go on.
    package func validate(for export: ExportDescription, isStructured: Bool) -> NBDError {
        let allowedFlags: UInt16
        switch command {
        case NBD.commandRead: allowedFlags = NBD.commandFlagFUA | (isStructured ? NBD.commandFlagDF : 0)
        case NBD.commandWrite, NBD.commandTrim, NBD.commandFlush: allowedFlags = NBD.commandFlagFUA
        case NBD.commandWriteZeroes: allowedFlags = NBD.commandFlagFUA | NBD.commandFlagNoHole
        default: return .invalid
        }
        guard flags & ~allowedFlags == 0 else { return .invalid }
        if command == NBD.commandFlush { return byteOffset == 0 && byteCount == 0 ? .none : .invalid }
        if command != NBD.commandRead && export.isReadOnly { return .notPermitted }
        if command == NBD.commandTrim && !export.supportsTrim { return .invalid }
        let movesData = command == NBD.commandRead || command == NBD.commandWrite
        if movesData && byteCount > NBD.payloadByteCountMax {
            // NBD_EOVERFLOW is for clients that may ask for replies in one piece (NBD_CMD_FLAG_DF).
            return command == NBD.commandRead && isStructured ? .overflow : .invalid
        }
        guard byteCount > 0 else { return .invalid }
        guard byteOffset <= export.byteCount, UInt64(byteCount) <= export.byteCount - byteOffset else {
            return command == NBD.commandRead || command == NBD.commandTrim ? .invalid : .noSpace
        }
        return .none
    }
}

/// An export as clients see it.
package struct ExportDescription: Sendable, Equatable {
    /// The name that clients ask for.
    package var name: String
    /// What the export is, for people.
    package var description: String
    /// The export's size, bytes.
    package var byteCount: UInt64
    /// Bytes, a power of two.
    package var preferredBlockByteCount: UInt32
    /// Whether writes, trims and write-zeroes are refused.
    package var isReadOnly: Bool
    /// Whether NBD_CMD_TRIM is announced and accepted.
    package var supportsTrim: Bool

    package init(
        name: String, description: String, byteCount: UInt64, preferredBlockByteCount: UInt32, isReadOnly: Bool,
        supportsTrim: Bool
    ) {
        self.name = name
        self.description = description
        self.byteCount = byteCount
        self.preferredBlockByteCount = preferredBlockByteCount
        self.isReadOnly = isReadOnly
        self.supportsTrim = supportsTrim
    }

    /// The transmission flags. NBD_FLAG_CAN_MULTI_CONN is set because a flush on one connection covers what was
    /// completed on all of them.
    package func transmissionFlags(isStructured: Bool) -> UInt16 {
        var flags = NBD.flagHasFlags | NBD.flagSendFlush | NBD.flagSendFUA | NBD.flagCanMultiConn
        if isReadOnly {
            flags |= NBD.flagReadOnly
        } else {
            flags |= NBD.flagSendWriteZeroes
            if supportsTrim { flags |= NBD.flagSendTrim }
        }
        if isStructured { flags |= NBD.flagSendDF }
        return flags
    }
}
