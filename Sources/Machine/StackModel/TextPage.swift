/// A page of text of 100 columns, line by line.
struct TextPage {
    static let width = 100

    private(set) var lines: [String] = []

    /// The page, with a line end after every line.
    var text: String { lines.map { $0 + "\n" }.joined() }

    /// Adds a line as it is, however long.
    mutating func add(line: String = "") { lines.append(line) }

    /// Adds a paragraph, wrapped between words.
    ///
    /// - Parameters:
    ///   - label: text at the beginning of the first line.
    ///   - indent: columns left of the label, and of each line if there is none.
    ///   - labelWidth: columns from the label's beginning to the text.
    mutating func add(_ text: String, label: String = "", indent: Int, labelWidth: Int = 0) {
        let margin = String(repeating: " ", count: indent + labelWidth)
        var line = ""
        var isFirst = true
        func head() -> String {
            guard isFirst else { return margin }
            let padding = max(labelWidth - label.count, label.isEmpty ? 0 : 1)
            return String(repeating: " ", count: indent) + label
                + String(repeating: " ", count: label.isEmpty ? labelWidth : padding)
        }
        for word in text.split(separator: " ") {
            if !line.isEmpty && margin.count + line.count + word.count + 1 > Self.width {
                lines.append(head() + line)
                line = ""
                isFirst = false
            }
            line += line.isEmpty ? String(word) : " " + word
        }
        lines.append(head() + line)
    }

    /// Adds a heading with an underline.
    mutating func add(heading: String) {
        if !lines.isEmpty { lines.append("") }
        lines.append(heading)
        lines.append(String(repeating: "-", count: min(heading.count, Self.width)))
    }
}

/// A number of bytes: "524288 bytes (512 KiB)".
func byteText(_ byteCount: UInt64) -> String {
    let units: [(shift: UInt64, name: String)] = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
    for unit in units where byteCount >= 1 << unit.shift && byteCount % (1 << unit.shift) == 0 {
        return "\(byteCount) bytes (\(byteCount >> unit.shift) \(unit.name))"
    }
    return "\(byteCount) \(byteCount == 1 ? "byte" : "bytes")"
}

extension String {
    /// The text with blanks up to a width.
    func padded(to width: Int) -> String { self + String(repeating: " ", count: Swift.max(0, width - count)) }
}
