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

    /// Whether a directory is at a path.
    /// - Parameter followsLinks: false for a symbolic link, whatever it leads to.
    package static func isDirectory(_ path: String, followsLinks: Bool = true) -> Bool {
        var status = stat()
        let result = followsLinks ? stat(path, &status) : lstat(path, &status)
        return result == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The paths of the files below a directory, sorted. Symbolic links to directories are not followed, nor is a tree
    /// that is deeper than 24 directories.
    /// - Parameter isSkipped: tells from a directory's name whether its files are left out.
    package static func files(below path: String, skipping isSkipped: (String) -> Bool = { _ in false }) -> [String] {
        var files: [String] = []
        collect(below: path, depth: 0, skipping: isSkipped, into: &files)
        return files.sorted()
    }

    private static let depthMax = 24

    private static func collect(
        below path: String, depth: Int, skipping isSkipped: (String) -> Bool, into files: inout [String]
    ) {
        guard depth < depthMax else { return }
        for name in (try? names(in: path)) ?? [] {
            let inner = "\(path)/\(name)"
            if !isDirectory(inner, followsLinks: false) {
                files.append(inner)
            } else if !isSkipped(name) {
                collect(below: inner, depth: depth + 1, skipping: isSkipped, into: &files)
            }
        }
    }

    /// Makes a directory and those that lead to it, unless they are there.
    /// - Throws: `OSError`.
    package static func make(_ path: String) throws(OSError) {
        guard mkdir(path, 0o755) != 0 && errno != EEXIST else { return }
        guard errno == ENOENT, parent(of: path) != path else { throw OSError(code: errno, doing: "make \(path)") }
        try make(parent(of: path))
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw OSError(code: errno, doing: "make \(path)") }
    }

    /// The directory of the program that runs, where the programs of the same build are.
    package static var ofThisProgram: String { parent(of: resolve("/proc/self/exe") ?? "/") }

    /// A directory of files that a target brings: beside this program, where a build leaves it, or in `../lib/nbdext`,
    /// where it is installed.
    /// - Throws: `OperationError` when it is in neither place.
    package static func resource(
        _ name: String, of target: String, installedAs installed: String
    ) throws(OperationError) -> String {
        let places = [
            "\(ofThisProgram)/nbdext_\(target).resources/\(name)", "\(ofThisProgram)/../lib/nbdext/\(installed)",
        ]
        guard let place = places.lazy.compactMap(resolve).first else {
            throw OperationError(
                "nbdext is not complete: neither \(places[0]) nor \(places[1]) is there; install it again")
        }
        return place
    }

    /// The directory in which nbdext keeps for this user what it can make again (XDG Base Directory Specification). It
    /// need not be there. Nil for a user without a home.
    package static var ofCaches: String? {
        let own = getenv("XDG_CACHE_HOME").map { String(cString: $0) }
        if let own, own.hasPrefix("/") { return "\(own)/nbdext" }
        return getenv("HOME").map { "\(String(cString: $0))/.cache/nbdext" }
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
