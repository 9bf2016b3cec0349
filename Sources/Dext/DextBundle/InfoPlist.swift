import FoundationEssentials
import Platform
import SCSIControllerDriverKit

/// A DEXT's Info.plist: who the bundle is, and its personalities.
package struct InfoPlist: Sendable, Equatable {
    /// CFBundleIdentifier.
    package let identifier: String
    /// CFBundleName, else the last part of the identifier.
    package let name: String
    /// IOKitPersonalities: the matching dictionaries by their names.
    package let personalities: [String: OSDictionary]

    /// The content of a property list's file.
    /// - Throws: `OperationError` when it cannot be read.
    package static func bytes(of path: String) throws(OperationError) -> [UInt8] {
        do { return Array(try Data(contentsOf: URL(filePath: path))) } catch {
            throw OperationError("\(path) cannot be read; a bundle and a driver's project have this file", cause: error)
        }
    }

    /// Reads a property list.
    /// - Parameters:
    ///   - bytes: an XML or a binary property list, in which no variables are left.
    ///   - name: the file's name in errors.
    ///   - product: the product's name, for a list without identifier. Xcode adds one to such a list.
    /// - Throws: `OperationError` when it is no property list, or has no personalities.
    package init(_ bytes: [UInt8], name file: String, product: String) throws(OperationError) {
        let dictionary = try PropertyListReader.dictionary(bytes, name: file)
        if let identifier = dictionary["CFBundleIdentifier"]?.stringValue, !identifier.isEmpty {
            self.identifier = identifier
        } else {
            identifier = PropertyListVariables.defaultIdentifier(product)
        }
        guard let personalities = dictionary["IOKitPersonalities"]?.dictionaryValue, !personalities.isEmpty else {
            throw OperationError(
                "\(file) has no IOKitPersonalities; without one the system never matches the driver")
        }
        var found: [String: OSDictionary] = [:]
        for (name, personality) in personalities {
            guard let personality = personality.dictionaryValue else {
                throw OperationError("\(file): the personality \(name) is no dictionary")
            }
            found[name] = personality
        }
        if let name = dictionary["CFBundleName"]?.stringValue, !name.isEmpty {
            self.name = name
        } else {
            name = identifier.split(separator: ".").last.map(String.init) ?? identifier
        }
        self.personalities = found
    }
}
