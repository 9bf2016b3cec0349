import Glibc
import Platform

/// The listening sockets of one address: one, or one for each address that a name stands for.
///
/// Threads: any.
package final class Listener: Sendable {
    /// For accept(2); they do not block.
    package let descriptors: [Int32]
    private let place: Place

    private enum Place {
        case unix(SocketFile)
        case tcp(host: String, port: UInt16)
    }

    /// Clients that have connected and were not accepted yet.
    private static let backlog: Int32 = 4096

    /// Binds and listens.
    /// - Parameter isPrivate: a Unix socket is for its owner and root alone; else its rights are what the umask leaves.
    /// - Throws: one sentence with the address and what to do; nothing is left behind then.
    package init(_ address: ServerAddress, isPrivate: Bool = false) throws(ServerError) {
        switch address {
        case .unix(let path):
            let (descriptor, file) = try SocketFile.listen(
                path: path, isPrivate: isPrivate, backlog: Self.backlog)
            descriptors = [descriptor]
            place = .unix(file)
        case .tcp(let host, let port):
            let sockets = try TCPSockets.listen(host: host, port: port, backlog: Self.backlog)
            descriptors = sockets.descriptors
            place = .tcp(host: host, port: sockets.port)
        }
    }

    /// Where clients find an export.
    package func uri(export: String) -> String {
        switch place {
        case .unix(let file): ExportURI.unix(socket: file.path, export: export)
        case .tcp(let host, let port): ExportURI.tcp(host: host, port: port, export: export)
        }
    }

    /// Removes the socket's file, if there is one and it is still this socket's: nobody finds the server any more.
    package func removeFile() { if case .unix(let file) = place { file.remove() } }

    /// Ends it.
    package func close() {
        removeFile()
        for descriptor in descriptors { Glibc.close(descriptor) }
    }
}
