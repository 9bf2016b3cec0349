/// Collects the elements of an SVG image inside a page. Colours come from the page's style, by class.
struct SVGImage {
    /// The part of a text that is at its point.
    enum Anchor: String {
        case start, middle, end
    }

    private let width: Double
    private let height: Double
    private let label: String
    private var elements: [String] = []

    /// - Parameter label: what the image shows, for screen readers.
    init(width: Double, height: Double, label: String) {
        self.width = width
        self.height = height
        self.label = label
    }

    var text: String {
        let (width, height) = (Self.number(width), Self.number(height))
        return """
            <svg viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" role="img" \
            xmlns="http://www.w3.org/2000/svg" aria-label="\(HTML.escaped(label))">
            \(elements.joined(separator: "\n"))
            </svg>
            """
    }

    /// - Parameter title: shown when a pointer rests on it.
    mutating func rectangle(
        x: Double, y: Double, width: Double, height: Double, style: String, title: String? = nil
    ) {
        let place = "x=\"\(Self.number(x))\" y=\"\(Self.number(y))\""
        let size = "width=\"\(Self.number(max(width, 0)))\" height=\"\(Self.number(height))\""
        let inner = title.map { "><title>\(HTML.escaped($0))</title></rect>" } ?? "/>"
        elements.append("<rect \(place) \(size) rx=\"1.5\" class=\"\(style)\"\(inner)")
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, style: String) {
        elements.append(
            "<line x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" x2=\"\(Self.number(x2))\" "
                + "y2=\"\(Self.number(y2))\" class=\"\(style)\"/>")
    }

    mutating func curve(_ points: [(x: Double, y: Double)], style: String, title: String) {
        guard points.count > 1 else { return }
        let list = points.map { "\(Self.number($0.x)),\(Self.number($0.y))" }.joined(separator: " ")
        elements.append(
            "<polyline points=\"\(list)\" class=\"\(style)\"><title>\(HTML.escaped(title))</title></polyline>")
    }

    mutating func text(_ text: String, x: Double, y: Double, anchor: Anchor = .start, style: String) {
        elements.append(
            "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" text-anchor=\"\(anchor.rawValue)\" "
                + "class=\"\(style)\">\(HTML.escaped(text))</text>")
    }

    private static func number(_ value: Double) -> String { Format.number(value) }
}
