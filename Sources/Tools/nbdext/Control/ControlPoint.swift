import EmulatedMachine
import Glibc
import NBDServer
import Platform

/// Where commands find the server of an array: `nbdext.control` in the array's directory is the server's control socket,
/// or a symbolic link to it. What a killed server leaves there leads to nobody, and the next one replaces it.
struct ControlPoint {
    private let socket: ControlSocket
    /// The links that this server has made, and where they lead.
    private let links: [String]
    private let target: String

    /// A server that cannot be found serves all the same: directories may be such that cannot be written to. What does not
    /// work then is said on standard error.
    /// - Parameters:
    ///   - path: of the socket; nil for the first directory that takes it.
    ///   - directories: of the arrays.
    static func open(
        at path: String?, directories: [String], commands: [String: ControlSocket.Command]
    ) -> ControlPoint? {
        var failure = "it has no place"
        for candidate in path.map({ [$0] }) ?? directories.map(ControlSocket.defaultPath(directory:)) {
            do {
                DirectoryTurn.take(for: candidate) { removeDeadLink(candidate) }
                return ControlPoint(
                    try ControlSocket(path: candidate, commands: commands), at: candidate, directories)
            } catch { failure = "\(error)" }
        }
        guard path != nil || !directories.isEmpty else { return nil }
        writeMessage(
            "there is no control socket, so status, power-cut, top and maintenance cannot ask this server; name a "
                + "place for it with --control: \(failure)")
        return nil
    }

    private init(_ socket: ControlSocket, at path: String, _ directories: [String]) {
        self.socket = socket
        target = Directory.resolve(path) ?? path
        links = directories.compactMap { [target = self.target] in Self.link(in: $0, to: target) }
    }

    /// - Returns: the link; nil when the socket itself is there, or no link could be made.
    private static func link(in directory: String, to target: String) -> String? {
        let path = ControlSocket.defaultPath(directory: directory)
        guard !isSame(path, target) else { return nil }
        let code = DirectoryTurn.take(for: path) {
            removeDeadLink(path)
            if isKind(S_IFSOCK, path), !ControlSocket.isAnswered(path) { unlink(path) }
            return symlink(target, path) == 0 ? 0 : errno
        }
        if code == 0 { return path }
        writeMessage(
            "commands about \(directory) need --control \(target), since \(path) cannot be made: "
                + "\(String(cString: strerror(code)))")
        return nil
    }

    private static func isSame(_ left: String, _ right: String) -> Bool {
        var (first, second) = (stat(), stat())
        return stat(left, &first) == 0 && stat(right, &second) == 0 && first.st_dev == second.st_dev
            && first.st_ino == second.st_ino
    }

    /// Removes the link of a server that is gone. In the directory's turn.
    private static func removeDeadLink(_ path: String) {
        if isKind(S_IFLNK, path), !ControlSocket.isAnswered(path) { unlink(path) }
    }

    private static func isKind(_ kind: mode_t, _ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0 && information.st_mode & S_IFMT == kind
    }

    /// Takes no more commands, and leaves nothing behind.
    func stop() {
        for link in links {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink(link, &buffer, buffer.count)
            let found = String(decoding: buffer[..<max(count, 0)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // Another one may have taken the place.
            if found == target { unlink(link) }
        }
        socket.stop()
    }
}
