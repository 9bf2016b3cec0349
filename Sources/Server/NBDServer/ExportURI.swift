/// The address of an export as a URI (NBD's doc/uri.md). Characters that have a meaning in a URI are percent-encoded.
enum ExportURI {
    static func unix(socket path: String, export: String) -> String {
        "nbd+unix:///\(encoded(export, alsoAllowed: ""))?socket=\(encoded(path, alsoAllowed: "/"))"
    }

    /// - Parameter host: a name, or an address; empty for every address of this machine.
    static func tcp(host: String, port: UInt16, export: String) -> String {
        // A client cannot connect to the address that stands for all addresses.
        let reachable =
            switch host {
            case "": "localhost"
            case "0.0.0.0": "127.0.0.1"
            case "::": "::1"
            default: host
            }
        let shown =
            reachable.contains(":") ? "[\(encoded(reachable, alsoAllowed: ":"))]" : encoded(reachable, alsoAllowed: "")
        return "nbd://\(shown):\(port)/\(encoded(export, alsoAllowed: ""))"
    }

    private static func encoded(_ text: String, alsoAllowed: String) -> String {
        let digits = Array("0123456789ABCDEF")
        return text.utf8.reduce(into: "") { result, byte in
            let character = Character(UnicodeScalar(byte))
            let isUnreserved = byte < 0x80 && (character.isLetter || character.isNumber || "-._~".contains(character))
            if isUnreserved || alsoAllowed.utf8.contains(byte) {
                result.append(character)
            } else {
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }
}
