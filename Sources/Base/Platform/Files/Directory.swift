import Glibc

/// Listing, finding, comparing and removing directories.
package enum Directory {
    /// The names in a directory, unordered, without "." and "..".
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

    /// The directory part of a path: "." for a name alone, "/" for a name in the root.
    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The absolute path without symbolic links (realpath(3)); nil when nothing is there.
    package static func resolve(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Whether two paths lead to the same file or directory. False when one of them leads nowhere.
    package static func isSame(_ left: String, _ right: String) -> Bool {
        var (first, second) = (stat(), stat())
        guard stat(left, &first) == 0, stat(right, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    /// Removes a directory and everything in it. Entries that cannot be removed stay, without an error. Symbolic links
    /// are not followed.
    package static func remove(_ path: String) {
        for name in (try? names(in: path)) ?? [] {
            let inner = "\(path)/\(name)"
            if unlink(inner) != 0 && errno == EISDIR { remove(inner) }
        }
        rmdir(path)
    }
}
