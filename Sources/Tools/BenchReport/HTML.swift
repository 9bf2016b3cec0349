/// Elements of HTML pages. Every page is well-formed XML too.
enum HTML {
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case _ where character.value < 0x20 && character != "\n": continue
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    /// A table: the first column names the rows.
    /// - Parameter head: rows of the head, each cell with the number of columns that it spans.
    static func table(head: [[(text: String, span: Int)]], rows: [[String]]) -> String {
        let top = head.map { cells in
            "<tr>"
                + cells.map { cell in
                    let span = cell.span > 1 ? " colspan=\"\(cell.span)\"" : ""
                    return "<th scope=\"col\"\(span)>\(escaped(cell.text))</th>"
                }.joined() + "</tr>"
        }
        let body = rows.map { cells in
            "<tr><th scope=\"row\">\(escaped(cells[0]))</th>"
                + cells.dropFirst().map { "<td>\(escaped($0))</td>" }.joined() + "</tr>"
        }
        return """
            <div class="scroll"><table>
            <thead>\(top.joined(separator: "\n"))</thead>
            <tbody>\(body.joined(separator: "\n"))</tbody>
            </table></div>
            """
    }

    static func figure(_ caption: String, _ image: SVGImage) -> String {
        "<figure><figcaption>\(escaped(caption))</figcaption>\n\(image.text)\n</figure>"
    }

    /// A page made of a template, in which `{{name}}` stands for a part.
    ///
    /// - Parameter parts: the parts by their names. They are HTML, and not looked at.
    static func fill(_ template: String, _ parts: [String: String]) -> String {
        template.split(separator: "{{", omittingEmptySubsequences: false).enumerated().map { index, piece in
            guard index > 0, let end = piece.firstRange(of: "}}") else { return String(piece) }
            guard let part = parts[String(piece[..<end.lowerBound])] else {
                preconditionFailure("the template has an unknown part: \(piece.prefix(40))")
            }
            return part + piece[end.upperBound...]
        }.joined()
    }
}
