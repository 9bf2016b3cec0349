import Glibc
import Platform

/// The files of a driver's project, as Xcode would find them: everything below a directory, or a list.
package struct ProjectFiles: Sendable, Equatable {
    /// The project's directory, absolute.
    package let directory: String
    /// Info.plist, absolute.
    package let propertyList: String
    /// The interface files, absolute and sorted.
    package private(set) var interfaces: [String] = []
    /// The sources in C++ and C, absolute and sorted.
    package private(set) var sources: [String] = []
    /// The directories that hold headers or interface files, absolute and sorted.
    package private(set) var headerDirectories: [String] = []

    private static let sourceEndings = [".cpp", ".cc", ".cxx", ".c++", ".c"]
    private static let headerEndings = [".h", ".hh", ".hpp", ".hxx", ".inc", ".def"]
    /// Directories of products and tools.
    private static let skippedEndings = [".dext", ".build", ".xcodeproj", ".xcworkspace", ".app", ".framework"]
    private static let skippedNames: Set<String> = ["build", "DerivedData", "node_modules"]

    /// Looks below a directory.
    /// - Parameters:
    ///   - directory: the project's.
    ///   - list: the interface files and sources, if not all below the directory; relative to the current directory.
    /// - Throws: `OperationError` when there is nothing to build, or no single Info.plist.
    package init(below directory: String, only list: [String] = []) throws(OperationError) {
        guard let root = Directory.resolve(directory), Directory.isDirectory(root) else {
            throw OperationError("\(directory) is no directory; name the one that holds the driver's sources")
        }
        self.directory = root
        let found = Directory.files(below: root) { name in
            name.hasPrefix(".") || Self.skippedNames.contains(name) || Self.hasEnding(name, Self.skippedEndings)
        }.filter { !$0.split(separator: "/").last!.hasPrefix(".") }
        propertyList = try Self.propertyList(found, below: root)
        headerDirectories = Set(
            found.filter { Self.hasEnding($0, Self.headerEndings + [".iig"]) }.map(Directory.parent)
        ).union([root]).sorted()
        var chosen = found
        if !list.isEmpty {
            chosen = []
            for path in list {
                guard let resolved = Directory.resolve(path) else { throw OperationError("\(path) does not exist") }
                guard Self.hasEnding(resolved, Self.sourceEndings + [".iig"]) else {
                    throw OperationError("\(path) is neither an interface file (.iig) nor a source (.cpp, .c)")
                }
                chosen.append(resolved)
            }
        }
        interfaces = chosen.filter { $0.hasSuffix(".iig") }
        sources = chosen.filter { Self.hasEnding($0, Self.sourceEndings) }
        guard !interfaces.isEmpty else {
            throw OperationError("\(directory) has no interface file (.iig); a DEXT declares its classes in one")
        }
        guard !sources.isEmpty else { throw OperationError("\(directory) has no sources (.cpp, .c)") }
    }

    /// Info.plist in the directory itself, else the only one below that names personalities, else the only one.
    private static func propertyList(_ found: [String], below root: String) throws(OperationError) -> String {
        let lists = found.filter { $0.hasSuffix("/Info.plist") }
        if lists.contains("\(root)/Info.plist") { return "\(root)/Info.plist" }
        let drivers = lists.filter { TextFile.read($0).contains("IOKitPersonalities") }
        guard let only = drivers.count == 1 ? drivers[0] : lists.count == 1 ? lists[0] : nil else {
            throw OperationError(
                lists.isEmpty
                    ? "\(root) has no Info.plist; it names the driver's personalities"
                    : "\(root) has several Info.plist files (\(lists.joined(separator: ", "))); name the driver's directory"
            )
        }
        return only
    }

    private static func hasEnding(_ path: String, _ endings: [String]) -> Bool {
        endings.contains { path.hasSuffix($0) }
    }
}
