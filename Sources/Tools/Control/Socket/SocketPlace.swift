import Glibc

/// A socket's path in a form that fits a socket's address. A long path goes by way of its directory, which stays open
/// as long as this exists.
final class SocketPlace: Sendable {
    /// The bytes of `sun_path` without the zero at their end.
    private static let byteCountMax = 107
    private let descriptor: Int32
    /// The form that fits.
    let path: String

    init(_ path: String) {
        guard path.utf8.count > Self.byteCountMax, let slash = path.lastIndex(of: "/") else {
            descriptor = -1
            self.path = path
            return
        }
        // O_PATH
        descriptor = open(String(path[..<slash]), 0o10000000 | O_DIRECTORY | O_CLOEXEC)
        self.path = "/proc/self/fd/\(descriptor)/\(path[path.index(after: slash)...])"
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
