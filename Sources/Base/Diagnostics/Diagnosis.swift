import Platform

/// One observed mistake, with the details of this case. Its texts may quote a driver, so they are escaped for display.
public struct Diagnosis: Sendable {
    /// The mistake's entry in the catalogue.
    public let fault: DriverFault
    /// What happened, with the numbers of this case. One line.
    public let detail: String
    /// Lines that draw who waits for whom; empty where nothing waits.
    public let picture: [String]

    /// Escapes both texts (`ForeignText`).
    public init(_ fault: DriverFault, _ detail: String, picture: [String] = []) {
        self.fault = fault
        self.detail = ForeignText(detail).description
        self.picture = picture.map { ForeignText($0).description }
    }

    /// One line: "B32 ...".
    public var summary: String { "\(fault.rawValue): \(detail)" }

    /// The report, as it is printed: one labelled paragraph each for what happened, the rule, the symptom on macOS,
    /// the fix and the source.
    public var report: String {
        let entry = fault.entry
        let word = fault.severity == .error ? "fault" : "\(fault.severity)"
        var lines = ["driver \(word) \(fault.rawValue): \(entry.title)"]
        lines += Self.paragraph("happened", detail)
        lines += picture.map { "              \($0)" }
        lines += Self.paragraph("rule", entry.rule)
        lines += Self.paragraph("on macOS", entry.symptom)
        lines += Self.paragraph("fix", entry.fix)
        lines += Self.paragraph("source", entry.reference)
        return lines.joined(separator: "\n") + "\n"
    }

    /// A label and its text, wrapped at 100 columns.
    private static func paragraph(_ label: String, _ text: String) -> [String] {
        let width = 88
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty && line.count + word.count + 1 > width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? word : " " + word
        }
        lines.append(line)
        return lines.enumerated().map { index, line in
            let head = index == 0 ? "  \(label)" : ""
            return head + String(repeating: " ", count: 12 - head.count) + line
        }
    }
}
