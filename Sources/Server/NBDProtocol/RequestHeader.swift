/// The header of a request as received: 28 bytes, big-endian (proto.md, "Request message").
package struct RequestHeader: BitwiseCopyable, Sendable, CustomStringConvertible {
    /// The command flags.
    package var flags: NBDCommandFlags
    /// The command.
    package var command: NBDCommand
    /// The client's identifier of the request; the reply repeats it.
    package var cookie: UInt64
    /// Where the request begins on the export, bytes.
    package var byteOffset: UInt64
    /// The request's length, bytes.
    package var byteCount: UInt32

    package init(
        flags: NBDCommandFlags = [], command: NBDCommand, cookie: UInt64, byteOffset: UInt64, byteCount: UInt32
    ) {
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
        guard Self.magic(of: bytes) == NBD.requestMagic else { return nil }
        flags = NBDCommandFlags(
            rawValue: UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)))
        command = NBDCommand(rawValue: UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self)))
        cookie = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        byteOffset = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        byteCount = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    }

    /// The magic number at the beginning of a request.
    /// - Parameter bytes: at least 4 of them.
    package static func magic(of bytes: UnsafeRawPointer) -> UInt32 {
        UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
    }

    /// Whether NBD_CMD_FLAG_FUA is set.
    package var hasFUA: Bool { flags.contains(.fua) }
    /// Whether NBD_CMD_FLAG_NO_HOLE is set.
    package var hasNoHole: Bool { flags.contains(.noHole) }

    /// Bytes of payload that follow the header.
    package var payloadByteCount: Int { command == .write ? Int(byteCount) : 0 }

    package var description: String { "\(command) of \(byteCount) bytes at \(byteOffset)" }

    /// Checks a request against the export. Every rule for a client's request is checked here.
    ///
    /// - Parameters:
    ///   - export: what is served.
    ///   - isStructured: whether structured replies were negotiated, which NBD_CMD_FLAG_DF needs.
    /// - Returns: nil when the request may go on.
    package func validate(for export: ExportDescription, isStructured: Bool) -> RequestRefusal? {
        let allowedFlags: NBDCommandFlags
        switch command {
        case .read: allowedFlags = isStructured ? [.fua, .df] : .fua
        case .write, .trim, .flush: allowedFlags = .fua
        case .writeZeroes: allowedFlags = [.fua, .noHole]
        default: return .command
        }
        guard flags.isSubset(of: allowedFlags) else { return .flags }
        if command == .flush { return byteOffset == 0 && byteCount == 0 ? nil : .flushRange }
        if command != .read && export.isReadOnly { return .readOnly }
        if command == .trim && !export.supportsTrim { return .trim }
        let movesData = command == .read || command == .write
        if movesData && byteCount > NBD.payloadByteCountMax {
            return command == .read && isStructured ? .replyPayload : .payload
        }
        guard byteCount > 0 else { return .emptyRange }
        guard byteOffset <= export.byteCount, UInt64(byteCount) <= export.byteCount - byteOffset else {
            return command == .read || command == .trim ? .readBeyondEnd : .writeBeyondEnd
        }
        return nil
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
    package func transmissionFlags(isStructured: Bool) -> NBDTransmissionFlags {
        var flags: NBDTransmissionFlags = [.hasFlags, .sendFlush, .sendFUA, .canMultiConn]
        if isReadOnly {
            flags.insert(.readOnly)
        } else {
            flags.insert(.sendWriteZeroes)
            if supportsTrim { flags.insert(.sendTrim) }
        }
        if isStructured { flags.insert(.sendDF) }
        return flags
    }
}
