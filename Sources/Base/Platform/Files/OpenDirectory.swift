import Glibc

/// An open directory, in which files are made. It stays the same directory even when it is renamed or its name is
/// reused.
///
/// Other users may have write access there. If one of them has put something in the place of a new file, such as a link
/// to a file elsewhere, it is neither opened nor followed. All files that this program makes under a name are made
/// here.
///
/// Threads: any.
package final class OpenDirectory: Sendable {
    /// Attempts to open a file that other processes keep removing.
    private static let attempts = 16
    /// As given, or "." for the current directory.
    package let path: String
    private let descriptor: Int32

    /// - Parameter path: the directory's path; empty for the current one.
    package init(_ path: String) throws(OSError) {
        self.path = path.isEmpty ? "." : path
        descriptor = open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw OSError(code: errno, doing: "open the directory \(self.path)") }
    }

    /// Opens the directory of a file.
    /// - Returns: the directory, and the file's name in it.
    package static func of(file path: String) throws(OSError) -> (directory: OpenDirectory, name: String) {
        let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
        return (try OpenDirectory(Directory.parent(of: path)), name)
    }

    deinit { close(descriptor) }

    /// Makes a file that only its owner may read and write (mode 0600), and opens it for both.
    /// - Returns: the descriptor, which the caller closes.
    /// - Throws: EEXIST for a name that is taken, even by a dangling link.
    package func make(_ name: String) throws(OSError) -> Int32 {
        let file = openat(descriptor, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw OSError(code: errno, doing: "make \(path)/\(name)") }
        return file
    }

    /// Makes a file under a name that only this program uses. An existing file of that name, left by a crash or planted
    /// by another user, is removed first.
    package func makeTemporary(_ name: String) throws(OSError) -> Int32 {
        remove(name)
        return try make(name)
    }

    /// Renames a file, and replaces a file that has the new name.
    package func rename(_ name: String, to other: String) throws(OSError) {
        guard renameat(descriptor, name, descriptor, other) == 0 else {
            throw OSError(code: errno, doing: "rename \(path)/\(name) to \(other)")
        }
    }

    /// Removes a name if it exists. Links are not followed.
    package func remove(_ name: String) { unlinkat(descriptor, name, 0) }

    /// Makes the directory's entries durable: fsync(2).
    package func flush() { fsync(descriptor) }

    /// Opens a file that a user named for a program's output, and empties it. Makes it if it does not exist.
    ///
    /// - Throws: ELOOP for a link, and EACCES for another user's file or one with more than one hard link. Another user
    ///   could have planted such a file to have its target overwritten.
    package func openOutput(_ name: String) throws(OSError) -> Int32 {
        let doing = "write to \(path)/\(name)"
        let flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC
        for _ in 0..<Self.attempts {
            let new = openat(descriptor, name, flags | O_CREAT | O_EXCL, 0o600)
            if new >= 0 { return new }
            guard errno == EEXIST else { throw OSError(code: errno, doing: doing) }
            let file = openat(descriptor, name, flags | O_NOCTTY)
            // Another process has removed it in the meantime, and may do so again.
            if file < 0 && errno == ENOENT { continue }
            guard file >= 0 else { throw OSError(code: errno, doing: doing) }
            var information = stat()
            fstat(file, &information)
            guard information.st_mode & S_IFMT == S_IFREG else { return file }
            if information.st_uid == geteuid() && information.st_nlink <= 1 && ftruncate(file, 0) == 0 { return file }
            close(file)
            throw OSError(code: EACCES, doing: doing)
        }
        throw OSError(code: EBUSY, doing: doing)
    }

    /// The other users who may write to the directory, in words that fit after "may be written to by"; nil when only
    /// this program's user and root may.
    ///
    /// - Parameter othersFilesAreSafe: a sticky directory counts as safe, since its users can remove their own files
    ///   only.
    package func otherWriters(othersFilesAreSafe: Bool) -> String? {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return nil }
        if information.st_uid != geteuid() && information.st_uid != 0 {
            return "user \(information.st_uid), whose it is"
        }
        if othersFilesAreSafe && information.st_mode & S_ISVTX != 0 { return nil }
        if information.st_mode & S_IWOTH != 0 { return "everybody" }
        // Many systems give each user a group of their own.
        if information.st_mode & S_IWGRP != 0 && information.st_gid != getegid() {
            return "group \(information.st_gid)"
        }
        return nil
    }
}

extension OpenDirectory {
    /// Opens a file that a user named for a program's output, as `openOutput(_:)` does.
    package static func openOutput(path: String) throws(OSError) -> Int32 {
        do throws(OSError) {
            let (directory, name) = try of(file: path)
            return try directory.openOutput(name)
        } catch {
            let hint =
                switch error.code {
                case ELOOP: ", which is a link (name the file itself)"
                case EACCES: ", which may be another user's or have other names (name a new file)"
                default: ""
                }
            throw OSError(code: error.code, doing: "write to \(path)\(hint)")
        }
    }
}
