/// The text of one interface file (.iig). Somebody else reads files; the translator only knows bytes.
package struct InterfaceSource: Sendable {
    /// The file's name, as diagnostics and `#line` show it.
    package let name: String
    /// How the header that is made of it is included, without brackets: `DriverKit/IOService.h`.
    package let header: String
    /// The file's bytes. They need not be UTF-8.
    package let bytes: [UInt8]
    private let lineStarts: [Int]

    package init(name: String, header: String, bytes: [UInt8]) {
        self.name = name
        self.header = header
        self.bytes = bytes
        lineStarts = [0] + bytes.indices.filter { bytes[$0] == UInt8(ascii: "\n") }.map { $0 + 1 }
    }

    /// The line of a place in the bytes, counted from 1.
    package func line(of offset: Int) -> Int {
        var low = 0
        var high = lineStarts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        return low + 1
    }

    /// The column of a place in the bytes, in bytes, counted from 1.
    func column(of offset: Int) -> Int { offset - lineStarts[line(of: offset) - 1] + 1 }

    /// A line without its end.
    func text(ofLine line: Int) -> String {
        let start = lineStarts[line - 1]
        let end = line < lineStarts.count ? lineStarts[line] - 1 : bytes.count
        let text = text(start..<end)
        return text.hasSuffix("\r") ? String(text.dropLast()) : text
    }

    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
}
