import Glibc

/// A directory that stays the same one while files are made in it, whatever becomes of its name.
///
/// Others may be allowed to write there too: what they have put in the place of a file that is to be made, a link to a file
/// elsewhere for instance, is neither opened nor followed. Every file of this program that has a name is made here.
///
/// Threads: any.
package final class OpenDirectory: Sendable {
    /// How often a file is looked for that comes and goes.
    private static let attempts = 16
    package let path: String
    private let descriptor: Int32

    /// - Parameter path: of the directory; empty for the current one.
    package init(_ path: String) throws(OSError) {
        self.path = path.isEmpty ? "." : path
        descriptor = open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw OSError(code: errno, doing: "open the directory \(self.path)") }
    }

    /// The directory of a file.
    /// - Returns: with the file's name in it.
    package static func of(file path: String) throws(OSError) -> (directory: OpenDirectory, name: String) {
        let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
        return (try OpenDirectory(Directory.parent(of: path)), name)
    }

    deinit { close(descriptor) }

    /// Makes a file that only its owner may read and write, and opens it for both.
    /// - Returns: its descriptor, which is the caller's.
    /// - Throws: EEXIST for a name that is taken, also by a link that leads nowhere.
    package func make(_ name: String) throws(OSError) -> Int32 {
        let file = openat(descriptor, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw OSError(code: errno, doing: "make \(path)/\(name)") }
        return file
    }

    /// Makes a file under a name that only this program uses. What has the name is taken away first: one that a crash has
    /// left, or something that others have put there.
    package func makeTemporary(_ name: String) throws(OSError) -> Int32 {
        remove(name)
        return try make(name)
    }

    /// Gives a file another name, which another file loses.
    package func rename(_ name: String, to other: String) throws(OSError) {
        guard renameat(descriptor, name, descriptor, other) == 0 else {
            throw OSError(code: errno, doing: "rename \(path)/\(name) to \(other)")
        }
    }

    /// Takes a name away, if it is there. Links are not followed.
    package func remove(_ name: String) { unlinkat(descriptor, name, 0) }

    /// Makes the names durable.
    package func flush() { fsync(descriptor) }

    /// Opens a file that a user has named for a program's output, and empties it. It is made if it is not there.
    ///
    /// - Throws: ELOOP for a link, and EACCES for another user's file or one that has other names: others could have put them
    ///   there to have what they lead to overwritten.
    package func openOutput(_ name: String) throws(OSError) -> Int32 {
        let doing = "write to \(path)/\(name)"
        let flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC
        for _ in 0..<Self.attempts {
            let new = openat(descriptor, name, flags | O_CREAT | O_EXCL, 0o600)
            if new >= 0 { return new }
            guard errno == EEXIST else { throw OSError(code: errno, doing: doing) }
            let file = openat(descriptor, name, flags | O_NOCTTY)
            // Somebody has removed it meanwhile, and may do so again.
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

    /// Who may write to the directory beside the user that this program runs as, in words that fit after "may be written to
    /// by"; nil when nobody else may.
    ///
    /// - Parameter othersFilesAreSafe: where each may only remove what is their own (the sticky bit), nothing of this user's is
    ///   at risk.
    package func otherWriters(othersFilesAreSafe: Bool) -> String? {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return nil }
        if information.st_uid != geteuid() && information.st_uid != 0 {
            return "user \(information.st_uid), whose it is"
        }
        if othersFilesAreSafe && information.st_mode & S_ISVTX != 0 { return nil }
        if information.st_mode & S_IWOTH != 0 { return "everybody" }
        // Many users have a group of their own.
        if information.st_mode & S_IWGRP != 0 && information.st_gid != getegid() {
            return "group \(information.st_gid)"
        }
        return nil
    }
}

extension OpenDirectory {
    /// Opens a file that a user has named for a program's output, as `openOutput(_:)` does.
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
