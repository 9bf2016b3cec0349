import Glibc
import Platform

/// The listening sockets of one address: one, or one for each address of a host name.
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

    /// The most clients that wait to be accepted (listen(2)).
    private static let backlog: Int32 = 4096

    /// Binds and listens.
    /// - Parameter isPrivate: only the owner and root may connect to a Unix socket; otherwise the umask decides.
    /// - Throws: one sentence with the address and what to do. Nothing is left behind then.
    package init(_ address: ServerAddress, isPrivate: Bool = false) throws(OperationError) {
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

    /// The URI of an export at this address.
    package func uri(export: String) -> String {
        switch place {
        case .unix(let file): ExportURI.unix(socket: file.path, export: export)
        case .tcp(let host, let port): ExportURI.tcp(host: host, port: port, export: export)
        }
    }

    /// Removes the file of a Unix socket if it is still this socket's. New clients do not find the server any more.
    package func removeFile() { if case .unix(let file) = place { file.remove() } }

    /// Removes the file, and closes the sockets.
    package func close() {
        removeFile()
        for descriptor in descriptors { Glibc.close(descriptor) }
    }
}
