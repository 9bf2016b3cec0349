/// A response under construction: big-endian fields at fixed offsets, in a zeroed buffer.
struct ResponseData: ~Copyable {
    /// Bytes of the largest response: REPORT LUNS data of 62 logical units has 504.
    static let capacity = 512
    private(set) var bytes = InlineArray<512, UInt8>(repeating: 0)
    /// Bytes of the response before the allocation length cuts it.
    var byteCount = 0

    subscript(offset: Int) -> UInt8 {
        get { bytes[offset] }
        set {
            bytes[offset] = newValue
            byteCount = max(byteCount, offset + 1)
        }
    }

    mutating func store<Integer: FixedWidthInteger & UnsignedInteger>(_ value: Integer, at offset: Int) {
        var rest = value
        for index in (offset..<offset + MemoryLayout<Integer>.size).reversed() {
            self[index] = UInt8(truncatingIfNeeded: rest)
            rest >>= 8
        }
    }

    /// Stores ASCII text padded with blanks; longer text is cut.
    mutating func store(_ text: String, at offset: Int, width: Int) {
        var index = offset
        for byte in text.utf8.prefix(width) {
            self[index] = byte
            index += 1
        }
        while index < offset + width {
            self[index] = 0x20
            index += 1
        }
    }

    /// Copies the response out, cut to `allocationLength` and to the memory.
    /// - Returns: the bytes copied.
    func copy(to memory: UnsafeMutableRawBufferPointer, allocationLength: Int) -> Int {
        let count = min(byteCount, min(allocationLength, memory.count))
        for index in 0..<count { memory[index] = bytes[index] }
        return count
    }
}
