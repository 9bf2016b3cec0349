import Glibc

/// Small text files, read and written in one piece.
package enum TextFile {
    /// A file's text; empty when it cannot be read.
    package static func read(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Replaces the text of a file that a user has named.
    ///
    /// - Throws: `OSError`.
    package static func write(_ text: String, to path: String) throws(OSError) {
        let descriptor = try OpenDirectory.openOutput(path: path)
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw OSError(code: errno, doing: "write \(path)") }
            rest = rest.dropFirst(count)
        }
    }
}
