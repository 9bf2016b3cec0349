/// Where a server listens.
package enum ServerAddress: Sendable, Equatable {
    case unix(path: String)
    /// The empty host is every address of the machine. Port 0 lets the system choose.
    case tcp(host: String, port: UInt16)

    /// Reads "HOST:PORT". An IPv6 host stands in brackets; "*" or an empty host is every address. Nil for anything
    /// else.
    package init?(hostAndPort text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = String(text[..<colon])
        if host.hasPrefix("[") && host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            return nil
        }
        self = .tcp(host: host == "*" ? "" : host, port: port)
    }
}
