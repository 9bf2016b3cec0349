import Glibc
import Platform

/// Unix sockets that tests talk through byte by byte. Their owners close the descriptors.
package enum UnixSocket {
    /// A connection to whoever listens on a path.
    package static func connect(to path: String) throws(OSError) -> Int32 {
        try open(path, doing: "connect to") { Glibc.connect($0, $1, $2) }
    }

    /// A socket that listens on a path.
    package static func listen(on path: String, backlog: Int32) throws(OSError) -> Int32 {
        try open(path, doing: "listen on") {
            bind($0, $1, $2) == 0 ? Glibc.listen($0, backlog) : -1
        }
    }

    private static func open(
        _ path: String, doing: String, _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(OSError) -> Int32 {
        guard let address = sockaddr_un(path: path) else {
            throw OSError(code: ENAMETOOLONG, doing: "\(doing) \(path)")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard address.withPointer({ call(descriptor, $0, $1) }) == 0 else {
            let code = errno
            close(descriptor)
            throw OSError(code: code, doing: "\(doing) \(path)")
        }
        return descriptor
    }
}
