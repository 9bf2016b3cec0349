/// The variables that Xcode replaces in an Info.plist: `$(NAME)`, `${NAME}`, also with a modifier as in
/// `$(NAME:rfc1034identifier)`.
package struct PropertyListVariables: Sendable {
    private let values: [String: String]

    /// - Parameters:
    ///   - product: the product's name.
    ///   - values: what the caller knows besides, by name.
    package init(product: String, values: [String: String] = [:]) {
        let known = [
            "PRODUCT_NAME": product, "TARGET_NAME": product, "EXECUTABLE_NAME": product,
            "PRODUCT_BUNDLE_IDENTIFIER": Self.defaultIdentifier(product), "PRODUCT_MODULE_NAME": product,
            "MARKETING_VERSION": "1.0", "CURRENT_PROJECT_VERSION": "1", "DEVELOPMENT_LANGUAGE": "en",
            "PRODUCT_BUNDLE_PACKAGE_TYPE": "DEXT",
        ]
        self.values = known.merging(values) { $1 }
    }

    /// Replaces all variables in a text. One that nobody knows becomes nothing, as in Xcode.
    /// - Returns: the text, and the names that nobody knew, each once and in the order of the text.
    package func replace(in text: String) -> (text: String, unknown: [String]) {
        var result = ""
        var unknown: [String] = []
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            guard let (name, modifier, end) = Self.variable(rest) else {
                result += "$"
                rest = rest.dropFirst()
                continue
            }
            if let value = values[name] {
                result += modifier == nil ? value : Self.identifier(value)
            } else if !unknown.contains(name) {
                unknown.append(name)
            }
            rest = rest[end...]
        }
        return (result + rest, unknown)
    }

    /// The identifier of a product whose developer gives none.
    static func defaultIdentifier(_ product: String) -> String { "local.\(identifier(product))" }

    /// The variable at the start of a text, or nil.
    private static func variable(_ text: Substring) -> (name: String, modifier: String?, end: Substring.Index)? {
        let opening = text.dropFirst().first
        let closing: Character
        switch opening {
        case "(": closing = ")"
        case "{": closing = "}"
        default: return nil
        }
        let content = text.dropFirst(2)
        guard let end = content.firstIndex(of: closing) else { return nil }
        let parts = content[..<end].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" })
        else { return nil }
        return (String(name), parts.count > 1 ? String(parts[1]) : nil, content.index(after: end))
    }

    /// A text as a part of an identifier: letters, digits, hyphens and dots (RFC 1034, section 3.5).
    private static func identifier(_ text: String) -> String {
        String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-") ? $0 : "-" })
    }
}
