import FoundationEssentials
import Platform
import SCSIControllerDriverKit

/// Reads Apple's property lists, in XML or binary form, as registry properties.
enum PropertyListReader {
    /// - Parameters:
    ///   - bytes: the file's content.
    ///   - name: the file's name in errors.
    /// - Throws: `OperationError` when the content is no property list, or no dictionary.
    static func dictionary(_ bytes: [UInt8], name: String) throws(OperationError) -> OSDictionary {
        let value: PropertyListValue
        do {
            value = try PropertyListDecoder().decode(PropertyListValue.self, from: Data(bytes))
        } catch let error as PropertyListValue.Unsupported {
            throw OperationError("\(name): \(error.path) is \(error.reason); a registry property cannot be that")
        } catch {
            throw OperationError("\(name) is no property list; 'plutil -lint' on a Mac names the line", cause: error)
        }
        guard case .dictionary(let dictionary) = value.value else {
            throw OperationError("\(name) is a property list, but no dictionary; an Info.plist is one")
        }
        return dictionary
    }
}

/// A value of a property list, of any type that the registry knows.
private struct PropertyListValue: Decodable {
    let value: OSPropertyValue

    /// A value of a type that the registry does not know.
    struct Unsupported: Error {
        /// The keys that lead to the value, with dots between them.
        let path: String
        let reason: String
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        // The decoder keeps the types apart: an integer is no boolean, and a text is no number.
        if let flag = try? container.decode(Bool.self) {
            value = .boolean(flag)
        } else if let number = try? container.decode(UInt64.self) {
            value = .number(number)
        } else if let number = try? container.decode(Int64.self) {
            value = .number(UInt64(bitPattern: number))
        } else if let text = try? container.decode(String.self) {
            value = .string(text)
        } else if let bytes = try? container.decode(Data.self) {
            value = .data(Array(bytes))
        } else if (try? container.decode(Double.self)) != nil {
            throw Unsupported(path: Self.path(decoder), reason: "a real number")
        } else if (try? container.decode(Date.self)) != nil {
            throw Unsupported(path: Self.path(decoder), reason: "a date")
        } else if (try? decoder.unkeyedContainer()) != nil {
            value = .array(try container.decode([PropertyListValue].self).map(\.value))
        } else {
            value = .dictionary(try container.decode([String: PropertyListValue].self).mapValues(\.value))
        }
    }

    private static func path(_ decoder: any Decoder) -> String {
        decoder.codingPath.map(\.stringValue).joined(separator: ".")
    }
}
