/// Text on its way into a generated file. The developer's bytes stay as they are; they need not be UTF-8.
struct GeneratedText {
    private(set) var bytes: [UInt8]
    private let source: InterfaceSource

    /// Begins with the line that says where the text came from.
    init(from source: InterfaceSource) {
        self.source = source
        bytes = Array("// Made from \(source.name) by nbdext. Changes are lost when it is made again.\n".utf8)
    }

    mutating func line(_ text: String) { bytes += Array(text.utf8) + [UInt8(ascii: "\n")] }

    /// Text of the source.
    mutating func copy(_ range: Range<Int>) { bytes += source.bytes[range] }

    mutating func append(_ text: String) { bytes += text.utf8 }

    /// Ends the line if one has begun.
    mutating func endLine() {
        if let last = bytes.last, last != UInt8(ascii: "\n") { bytes.append(UInt8(ascii: "\n")) }
    }

    /// Says that the next line came from a place in the source.
    mutating func place(_ offset: Int) {
        endLine()
        var name = ""
        for character in source.name {
            if character == "\\" || character == "\"" { name += "\\" }
            name.append(character)
        }
        line("#line \(source.line(of: offset)) \"\(name)\"")
    }
}
