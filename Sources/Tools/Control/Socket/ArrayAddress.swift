import ArrayStore
import Platform

/// An array as commands name it, and the way to its server.
package struct ArrayAddress: Sendable {
    /// The time for a server's answer to `status`. A server that hangs is not waited for.
    private static let statusMilliseconds = 2000

    /// The array's directory, as the user wrote it.
    package let directory: String
    private let socketPath: String

    /// - Parameters:
    ///   - directory: of the array.
    ///   - control: the path of the server's control socket; nil for the one that the directory leads to.
    package init(directory: String, control: String?) {
        self.directory = directory
        socketPath = control ?? ControlServer.defaultPath(directory: directory)
    }

    /// The name of an array that was given none: the directory's last name, or "array" if that is no name.
    package static func defaultName(_ directory: String) -> String {
        let last = directory.split(separator: "/").last.map(String.init) ?? ""
        return last.isEmpty || last.allSatisfy({ $0 == "." }) ? "array" : last
    }

    /// The server's control socket.
    package var client: ControlClient { ControlClient(path: socketPath) }

    /// The directory without symbolic links, as a server knows it.
    ///
    /// - Throws: `OperationError` when there is no such directory.
    package func resolved() throws -> String {
        guard let path = Directory.resolve(directory) else {
            throw OperationError("there is no directory \(directory)")
        }
        return path
    }

    /// The array's state: its server's answer, or, when no server answers, what the members tell.
    ///
    /// - Throws: `ArrayStoreError`.
    package func describe() throws -> ArrayDescription {
        let server = ControlClient(path: socketPath, lookMilliseconds: Self.statusMilliseconds)
        if let path = Directory.resolve(directory), let answer = try? server.status(directory: path) { return answer }
        return try ArrayStore.examine(directory: directory)
    }

    /// The name of a member's file in the array's directory. A file elsewhere would not be found when the array is
    /// opened again.
    ///
    /// - Parameter file: a path, a name in the directory, or an export's URI, which is its own name.
    /// - Throws: `OperationError` when the file is elsewhere.
    package func memberName(_ file: String) throws -> String {
        guard !LinkedMember.isURI(file), let slash = file.lastIndex(of: "/") else { return file }
        guard Directory.isSame(Directory.parent(of: file), directory) else {
            throw OperationError(
                "\(file) is not in \(directory), where the array's members are looked for; name a file there (it may "
                    + "be a symbolic link)")
        }
        return String(file[file.index(after: slash)...])
    }
}
