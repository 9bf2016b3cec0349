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

    /// The style sheet: rules for both colour schemes, and the colours of each.
    static let style = """
        :root { color-scheme: light dark; --page: #fcfcfb; --ink: #1d1f21; --quiet: #5d636b; --rule: #e2e4e6;
          --kext: #7d8791; --legacy: #c8611a; --bundled: #1668b8; --accent: #0f5aa3;
          --size0: #dbe7f3; --size1: #afcde9; --size2: #7fafdb; --size3: #4b8ec8; --size4: #1f69ab; --size5: #0b4478;
          --on-few: #12202e; --on-many: #ffffff; }
        @media (prefers-color-scheme: dark) {
          :root { --page: #15171a; --ink: #e6e7e9; --quiet: #9aa1a9; --rule: #2f3439;
            --kext: #98a2ac; --legacy: #ee8f4d; --bundled: #5aa6ee; --accent: #7dbbf5;
            --size0: #23384d; --size1: #2b5178; --size2: #3470a6; --size3: #4b93d3; --size4: #83b9ea; --size5: #c3ddf7;
            --on-few: #ffffff; --on-many: #0b1a29; }
        }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 1240px; padding: 40px 24px 64px; background: var(--page); color: var(--ink);
          font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
        h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.01em; }
        h2 { font-size: 19px; margin: 48px 0 4px; }
        p { max-width: 78ch; margin: 6px 0 14px; }
        .quiet, figcaption small { color: var(--quiet); }
        .key { display: flex; flex-wrap: wrap; gap: 12px 40px; margin: 24px 0 0; padding: 0; list-style: none; }
        .key b { display: block; font-size: 26px; font-variant-numeric: tabular-nums; color: var(--accent); }
        .key span { color: var(--quiet); }
        .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(370px, 1fr)); gap: 20px 28px; }
        figure { margin: 0; min-width: 0; }
        figcaption { font-weight: 600; margin: 10px 0 4px; }
        svg { max-width: 100%; height: auto; display: block; }
        text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--quiet); }
        text.strong { fill: var(--ink); font-weight: 600; }
        text.value { fill: var(--ink); font-variant-numeric: tabular-nums; }
        text.label0, text.label1, text.label2 { fill: var(--on-few); }
        text.label3, text.label4, text.label5 { fill: var(--on-many); }
        .rule { stroke: var(--rule); stroke-width: 1; }
        .kext { fill: var(--kext); } .legacy { fill: var(--legacy); } .bundled { fill: var(--bundled); }
        .mode-kext { color: var(--kext); } .mode-legacy { color: var(--legacy); } .mode-bundled { color: var(--bundled); }
        .process { fill-opacity: 0.55; }
        polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
        polyline.kext { fill: none; stroke: var(--kext); } polyline.legacy { fill: none; stroke: var(--legacy); }
        polyline.bundled { fill: none; stroke: var(--bundled); } polyline.process { stroke-dasharray: 5 3; }
        .size0 { fill: var(--size0); } .size1 { fill: var(--size1); } .size2 { fill: var(--size2); }
        .size3 { fill: var(--size3); } .size4 { fill: var(--size4); } .size5 { fill: var(--size5); }
        .scroll { overflow-x: auto; margin: 12px 0 20px; }
        table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
        th, td { padding: 4px 12px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
        th:first-child { text-align: left; padding-left: 0; }
        thead th { color: var(--quiet); font-weight: 600; }
        tbody th { font-weight: 500; }
        summary { cursor: pointer; color: var(--accent); margin: 12px 0; }
        @media print { details { display: block; } body { max-width: none; } }
        """
}
