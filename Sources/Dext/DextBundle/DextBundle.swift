import CDextABI
import Glibc
import Platform
import SCSIControllerDriverKit

/// A DEXT that was built from C++: the directory NAME.dext.
///
///     NAME.dext/NAME.so      the driver and the kit's runtime
///     NAME.dext/Info.plist   the developer's, with its variables replaced
///     NAME.dext/build.txt    the ABI's version, and the sanitizer's runtime if there is one
package struct DextBundle: Sendable {
    /// The ending of a bundle's name.
    package static let suffix = ".dext"
    /// The absolute path of the driver's library.
    package let library: String
    /// The absolute path of the library that has to be loaded before all others; nil without a sanitizer.
    package let sanitizerRuntime: String?
    /// The bundle's property list.
    package let info: InfoPlist

    /// What a build leaves for those who run its product.
    package struct BuildRecord: Sendable, Equatable {
        /// The version of the ABI that the library was compiled for.
        package var version: UInt32
        /// The sanitizer's runtime, an absolute path.
        package var sanitizerRuntime: String?

        package init(version: UInt32 = UInt32(NBDEXT_DEXT_ABI_VERSION), sanitizerRuntime: String? = nil) {
            self.version = version
            self.sanitizerRuntime = sanitizerRuntime
        }

        init?(text: String) {
            let lines = text.split(separator: "\n")
            guard let first = lines.first, first.hasPrefix("abi "), let version = UInt32(first.dropFirst(4)) else {
                return nil
            }
            self.version = version
            sanitizerRuntime =
                lines.dropFirst().first { $0.hasPrefix("sanitizer ") }.map { String($0.dropFirst(10)) }
        }

        /// The file's text.
        package var text: String {
            "abi \(version)\n" + (sanitizerRuntime.map { "sanitizer \($0)\n" } ?? "")
        }
    }

    /// Reads a bundle.
    /// - Parameter path: the directory's, with or without a slash at its end.
    /// - Throws: `OperationError` when it is no bundle, is damaged, or was built for another version.
    package init(path: String) throws(OperationError) {
        guard let directory = Directory.resolve(path) else {
            throw OperationError("\(path) does not exist; 'nbdext dext build DIRECTORY' makes a bundle")
        }
        let name = String(directory.split(separator: "/").last ?? "")
        guard name.hasSuffix(Self.suffix), name.utf8.count > Self.suffix.utf8.count else {
            throw OperationError("\(path) is no bundle: its name does not end with \(Self.suffix)")
        }
        let product = String(name.dropLast(Self.suffix.count))
        library = Self.library(in: directory, name: product)
        guard access(library, R_OK) == 0 else {
            throw OperationError("\(path) has no \(library.split(separator: "/").last!); build it again")
        }
        guard let record = BuildRecord(text: TextFile.read("\(directory)/build.txt")) else {
            throw OperationError("\(path) has no build.txt, or one that is damaged; build it again")
        }
        guard record.version == NBDEXT_DEXT_ABI_VERSION else {
            throw OperationError(
                "\(path) was built for version \(record.version) of the driver interface, and this nbdext has version "
                    + "\(NBDEXT_DEXT_ABI_VERSION); build it again")
        }
        sanitizerRuntime = record.sanitizerRuntime
        info = try InfoPlist(
            InfoPlist.bytes(of: "\(directory)/Info.plist"), name: "\(path)/Info.plist", product: product)
    }

    /// The path of a bundle's library.
    package static func library(in directory: String, name: String) -> String { "\(directory)/\(name).so" }
}
