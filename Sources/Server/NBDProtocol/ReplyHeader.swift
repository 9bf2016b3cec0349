/// Writes the headers of replies (proto.md, "Simple reply message" and "Structured reply chunk message").
package enum ReplyHeader {
    /// The longest header that is written, bytes.
    package static let byteCountMax = 64

    /// Writes the reply to a request up to its data.
    ///
    /// - Parameters:
    ///   - memory: room for `byteCountMax` bytes.
    ///   - dataByteCount: the bytes of read data that follow the header; 0 for other commands and for errors.
    ///   - isStructured: whether structured replies were negotiated; then a read is one OFFSET_DATA chunk, and
    ///     everything else one NONE or ERROR chunk.
    /// - Returns: the header's length.
    package static func write(
        to memory: UnsafeMutableRawPointer, cookie: UInt64, error: NBDError, byteOffset: UInt64, dataByteCount: Int,
        isStructured: Bool
    ) -> Int {
        guard isStructured else {
            store(NBD.simpleReplyMagic, memory, 0)
            store(error.rawValue, memory, 4)
            store(cookie, memory, 8)
            return NBD.simpleReplyByteCount
        }
        store(NBD.structuredReplyMagic, memory, 0)
        store(NBDReplyFlags.done.rawValue, memory, 4)
        store(cookie, memory, 8)
        if error != .none {
            // An error chunk: the number, and a message of no bytes.
            store(NBDReplyType.error.rawValue, memory, 6)
            store(UInt32(6), memory, 16)
            store(error.rawValue, memory, 20)
            store(UInt16(0), memory, 24)
            return 26
        }
        guard dataByteCount > 0 else {
            store(NBDReplyType.none.rawValue, memory, 6)
            store(UInt32(0), memory, 16)
            return NBD.structuredReplyByteCount
        }
        store(NBDReplyType.offsetData.rawValue, memory, 6)
        store(UInt32(8 + dataByteCount), memory, 16)
        store(byteOffset, memory, 20)
        return 28
    }

    private static func store<Integer: FixedWidthInteger & BitwiseCopyable>(
        _ value: Integer, _ memory: UnsafeMutableRawPointer, _ offset: Int
    ) {
        (memory + offset).storeBytes(of: value.bigEndian, as: Integer.self)
    }
}
