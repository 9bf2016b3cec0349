/// What is wrong with an interface file, and where.
package struct InterfaceDiagnostic: Sendable, Equatable, CustomStringConvertible {
    /// How much it matters.
    package enum Severity: String, Sendable {
        /// Nothing can be made of the file.
        case error
        /// The driver may not do what its author thinks.
        case warning
        /// Explains the diagnostic before it.
        case note
    }

    /// How much it matters.
    package let severity: Severity
    /// The file's name, as its source has it.
    package let file: String
    /// Counted from 1.
    package let line: Int
    /// In bytes, counted from 1.
    package let column: Int
    /// One sentence, without a full stop.
    package let message: String
    /// The line of the file.
    package let sourceLine: String
    /// The catalogue's name of the driver fault that this would be on macOS, such as B01.
    package let fault: String?

    init(_ severity: Severity, _ message: String, at offset: Int, of source: InterfaceSource, fault: String? = nil) {
        self.severity = severity
        self.message = message
        self.fault = fault
        file = source.name
        line = source.line(of: offset)
        column = source.column(of: offset)
        sourceLine = source.text(ofLine: line)
    }

    /// As clang prints it: file, line, column, text, the line, and a caret below the place.
    package var description: String {
        let margin = sourceLine.utf8.prefix(column - 1).filter { $0 & 0xC0 != 0x80 }
            .map { $0 == UInt8(ascii: "\t") ? "\t" : " " }.joined()
        return "\(file):\(line):\(column): \(severity.rawValue): \(message)\n\(sourceLine)\n\(margin)^"
    }
}
