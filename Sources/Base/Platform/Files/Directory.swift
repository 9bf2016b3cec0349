import Glibc

/// Where directories are, what is in them, and how they go away.
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

    /// The path of the directory that a path's last name is in: "." for a name alone.
    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// A path from the root, without symbolic links; nil when nothing is there.
    package static func resolve(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
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
