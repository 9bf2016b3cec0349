import Glibc
import NBDServer
import Platform

/// The place where commands find the server of an array: `nbdext.control` in the array's directory is the server's
/// control socket, or a symbolic link to it. A killed server's socket or link leads nowhere, and the next server
/// replaces it.
///
/// Threads: one at a time.
package struct ControlPoint {
    private let socket: ControlServer
    /// The links that this server has made.
    private let links: [String]
    /// Where the links lead.
    private let target: String

    /// Listens, and makes the links. A server serves also without: its directories may not be writable. A warning on
    /// standard error then says what does not work.
    ///
    /// - Parameters:
    ///   - path: of the socket; nil for the first directory that takes it.
    ///   - directories: of the arrays.
    ///   - service: carries requests out.
    /// - Returns: nil when there is no place for a socket.
    package static func open(
        at path: String?, directories: [String], service: @escaping ControlServer.Service
    ) -> ControlPoint? {
        var failure = "it has no place"
        for candidate in path.map({ [$0] }) ?? directories.map(ControlServer.defaultPath(directory:)) {
            do {
                DirectoryTurn.take(for: candidate) { removeDeadLink(candidate) }
                return ControlPoint(
                    try ControlServer(path: candidate, service: service), at: candidate, directories)
            } catch { failure = "\(error)" }
        }
        guard path != nil || !directories.isEmpty else { return nil }
        writeMessage(
            "there is no control socket, so status, power-cut, top and maintenance cannot ask this server; name a "
                + "place for it with --control: \(failure)", level: .warning)
        return nil
    }

    private init(_ socket: ControlServer, at path: String, _ directories: [String]) {
        self.socket = socket
        target = Directory.resolve(path) ?? path
        links = directories.compactMap { [target = self.target] in Self.link(in: $0, to: target) }
    }

    /// Makes a link in a directory.
    ///
    /// - Returns: its path; nil when the socket itself is there, or when no link could be made.
    private static func link(in directory: String, to target: String) -> String? {
        let path = ControlServer.defaultPath(directory: directory)
        guard !Directory.isSame(path, target) else { return nil }
        let code = DirectoryTurn.take(for: path) {
            removeDeadLink(path)
            if isKind(S_IFSOCK, path), !ControlClient(path: path).isAnswered { unlink(path) }
            return symlink(target, path) == 0 ? 0 : errno
        }
        if code == 0 { return path }
        writeMessage(
            "commands about \(directory) need --control \(target), since \(path) cannot be made: "
                + "\(String(cString: strerror(code)))", level: .warning)
        return nil
    }

    /// Removes the link of a server that is gone. The caller has the directory's turn.
    private static func removeDeadLink(_ path: String) {
        if isKind(S_IFLNK, path), !ControlClient(path: path).isAnswered { unlink(path) }
    }

    private static func isKind(_ kind: mode_t, _ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0 && information.st_mode & S_IFMT == kind
    }

    /// Takes no more requests, and removes the links and the socket.
    package func stop() {
        for link in links {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink(link, &buffer, buffer.count)
            let found = String(decoding: buffer[..<max(count, 0)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // Another server may have put its own link there.
            if found == target { unlink(link) }
        }
        socket.stop()
    }
}
