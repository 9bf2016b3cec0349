import Glibc
import InterfaceGenerator
import Platform

/// The kit that DEXTs are compiled against: interface files, headers, and the runtime's sources.
package struct DextKit: Sendable {
    /// The interface files of the frameworks: the path below the kit, such as "DriverKit/IOService.iig", and the text.
    let interfaces: [(name: String, path: String)]
    /// The directory of the headers.
    let headers: String
    /// The runtime's sources, absolute.
    let runtimeSources: [String]
    /// Of the headers and the runtime's sources.
    let fingerprint: Fingerprint
    /// A script for the linker: the symbols that a bundle shows.
    let symbols: String

    /// Finds the kit of this program.
    /// - Throws: `OperationError` when it is missing.
    package static func find() throws(OperationError) -> DextKit {
        try DextKit(directory: Directory.resource("Kit", of: "DextBuilder", installedAs: "dext"))
    }

    /// - Parameter directory: the kit's, absolute.
    /// - Throws: `OperationError` when a part is missing.
    package init(directory: String) throws(OperationError) {
        let root = "\(directory)/Interfaces"
        interfaces = Directory.files(below: root).filter { $0.hasSuffix(".iig") }
            .map { (String($0.dropFirst(root.count + 1)), $0) }
        headers = "\(directory)/Headers"
        runtimeSources = Directory.files(below: "\(directory)/Runtime").filter { $0.hasSuffix(".cpp") }
        symbols = "\(directory)/exports.map"
        guard !interfaces.isEmpty, !runtimeSources.isEmpty, access(symbols, R_OK) == 0 else {
            throw OperationError(
                "\(directory) is no kit for DEXTs: it lacks Interfaces, Runtime or exports.map; install nbdext again")
        }
        var fingerprint = Fingerprint()
        for path in Directory.files(below: headers) + runtimeSources {
            fingerprint.add("\(path.dropFirst(directory.count))\n".utf8)
            fingerprint.add(TextFile.read(path).utf8)
        }
        self.fingerprint = fingerprint
    }
}
