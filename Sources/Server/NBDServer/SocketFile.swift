import Glibc
import Platform

/// The file of a listening Unix socket. It is removed only if no other server has made a file in its place.
///
/// Threads: any.
struct SocketFile: Sendable {
    /// Absolute, so that it is right for clients in any directory.
    let path: String
    private let device: dev_t
    private let inode: ino_t

    /// Makes a listening socket and its file. A socket file that no server listens on is replaced.
    /// - Parameter isPrivate: only the owner and root may connect, whatever the umask is; otherwise the umask decides.
    /// - Returns: the socket's descriptor, and its file.
    static func listen(
        path: String, isPrivate: Bool, backlog: Int32
    ) throws(OperationError) -> (descriptor: Int32, file: SocketFile) {
        guard let address = sockaddr_un(path: path) else {
            throw OperationError("the socket path \(path) is too long (at most 107 bytes); choose a shorter one")
        }
        let descriptor = socket(AF_UNIX, listeningSocketType, 0)
        guard descriptor >= 0 else { throw OperationError("cannot make a socket: \(reason(errno))") }
        // bind(2) gives the file the socket's permissions, so the file has no others even for a moment.
        if isPrivate { fchmod(descriptor, 0o600) }
        do throws(OperationError) {
            let file = try DirectoryTurn.take(for: path) { () throws(OperationError) in
                if !bind(descriptor, address) {
                    guard errno == EADDRINUSE else { throw failure(path, errno) }
                    try removeStale(path, address)
                    guard bind(descriptor, address) else { throw failure(path, errno) }
                }
                // Within the turn: a socket that does not listen yet looks like one that was left behind.
                guard Glibc.listen(descriptor, backlog) == 0, let file = SocketFile(path) else {
                    throw failure(path, errno)
                }
                return file
            }
            return (descriptor, file)
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// - Returns: nil when there is no such socket.
    private init?(_ path: String) {
        var information = stat()
        guard lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK else { return nil }
        device = information.st_dev
        inode = information.st_ino
        if path.hasPrefix("/") {
            self.path = path
        } else {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            guard getcwd(&buffer, buffer.count) != nil else { return nil }
            let directory = buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
            self.path = directory == "/" ? "/\(path)" : "\(directory)/\(path)"
        }
    }

    /// Removes the file, unless it is another server's by now. The socket must still be open: until it is closed, no
    /// other file gets the same inode number.
    func remove() {
        var information = stat()
        guard lstat(path, &information) == 0, information.st_dev == device, information.st_ino == inode else { return }
        unlink(path)
    }

    /// Removes a socket file that a dead server has left behind.
    private static func removeStale(_ path: String, _ address: sockaddr_un) throws(OperationError) {
        var information = stat()
        // A connection to a file of another kind is refused too, so the kind is checked first.
        guard lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK else {
            throw OperationError("\(path) exists and is not a socket; choose another path")
        }
        let probe = socket(AF_UNIX, listeningSocketType, 0)
        guard probe >= 0 else { throw OperationError("cannot make a socket: \(reason(errno))") }
        defer { close(probe) }
        // A living server with a full queue does not answer either, but with another error than ECONNREFUSED.
        guard !address.withPointer({ connect(probe, $0, $1) == 0 }), errno == ECONNREFUSED else {
            throw OperationError("\(path) is in use; choose another path, or stop the server that has it")
        }
        guard unlink(path) == 0 else { throw failure(path, errno) }
    }

    private static func bind(_ descriptor: Int32, _ address: sockaddr_un) -> Bool {
        address.withPointer { Glibc.bind(descriptor, $0, $1) == 0 }
    }

    private static func failure(_ path: String, _ code: Int32) -> OperationError {
        let advice = code == ENOENT ? "make its directory, or choose another path" : "choose another path"
        return OperationError("cannot listen on \(path): \(reason(code)); \(advice)")
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// A non-blocking stream socket that driver processes do not inherit.
let listeningSocketType = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
