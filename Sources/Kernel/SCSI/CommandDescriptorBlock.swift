/// A command descriptor block: up to 16 bytes, big-endian fields (SPC-4, 4.3).
@usableFromInline package struct CommandDescriptorBlock: BitwiseCopyable, Sendable {
    /// The command, in the first `byteCount` bytes.
    @usableFromInline package var bytes: InlineArray<16, UInt8>
    /// 6, 10, 12 or 16.
    @usableFromInline package var byteCount: UInt8

    /// An all-zero block with an operation code.
    package init(_ operationCode: OperationCode, byteCount: UInt8) {
        bytes = .init(repeating: 0)
        bytes[0] = operationCode.rawValue
        self.byteCount = byteCount
    }

    /// A block as it came, unchecked.
    @inlinable package init(bytes: InlineArray<16, UInt8>, byteCount: UInt8) {
        self.bytes = bytes
        self.byteCount = byteCount
    }

    /// Byte 0 (SPC-4, 4.3).
    @inlinable package var operationCode: OperationCode { OperationCode(rawValue: bytes[0]) }

    /// The low five bits of byte 1; without meaning for most operation codes.
    package var serviceAction: ServiceAction { ServiceAction(rawValue: bytes[1] & 0x1F) }

    /// Reads a big-endian field.
    @inlinable package func load<Integer: FixedWidthInteger>(_ offset: Int, as type: Integer.Type) -> Integer {
        var value: Integer = 0
        for index in offset..<offset + MemoryLayout<Integer>.size { value = value << 8 | Integer(bytes[index]) }
        return value
    }

    /// Writes a big-endian field.
    package mutating func store<Integer: FixedWidthInteger & UnsignedInteger>(_ value: Integer, at offset: Int) {
        var rest = value
        for index in (offset..<offset + MemoryLayout<Integer>.size).reversed() {
            bytes[index] = UInt8(truncatingIfNeeded: rest)
            rest >>= 8
        }
    }

    /// The bytes in hexadecimal, for messages.
    package var description: String {
        (0..<Int(byteCount)).map { index in
            let text = String(bytes[index], radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined(separator: " ")
    }
}

extension CommandDescriptorBlock: Equatable {
    @usableFromInline package static func == (left: CommandDescriptorBlock, right: CommandDescriptorBlock) -> Bool {
        left.byteCount == right.byteCount && (0..<16).allSatisfy { left.bytes[$0] == right.bytes[$0] }
    }
}
