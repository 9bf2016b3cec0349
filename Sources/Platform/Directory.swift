import Glibc

/// What is in directories, and how they go away.
package enum Directory {
    /// The names in a directory, in no order, without "." and "..".
    /// - Throws: when it cannot be opened.
    package static func names(in path: String) throws(OSError) -> [String] {
        guard let stream = opendir(path) else { throw OSError(code: errno, doing: "open the directory \(path)") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Removes a directory with all that is in it, as far as that can be removed. Symbolic links are not followed.
    package static func remove(_ path: String) {
        for name in (try? names(in: path)) ?? [] {
            let inner = "\(path)/\(name)"
            if unlink(inner) != 0 && errno == EISDIR { remove(inner) }
        }
        rmdir(path)
    }
}
