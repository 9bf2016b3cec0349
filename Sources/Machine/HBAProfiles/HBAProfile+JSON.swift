import FoundationEssentials
import ParallelInterface
import Platform

/// Why a profile could not be read.
package struct ProfileError: Error, CustomStringConvertible {
    /// What is wrong, and what to write instead.
    package let description: String
}

extension HBAProfile {
    /// The profiles that come with the program, in the order in which people see them. The build makes a constant of
    /// each file in `Profiles`, but no list of these constants.
    private static let shipped: KeyValuePairs<String, [UInt8]> = [
        "default": PackageResources.default_json, "kext-512k": PackageResources.kext_512k_json,
        "dext-64k": PackageResources.dext_64k_json,
        "dext-512k-incomplete": PackageResources.dext_512k_incomplete_json,
        "dext-complete": PackageResources.dext_complete_json,
    ]

    /// The names of the profiles that come with the program.
    package static let shippedNames = shipped.map(\.key)

    /// Finds a shipped profile by its name, or reads a file.
    package init(nameOrPath: String) throws {
        if let shipped = Self.shipped.first(where: { $0.key == nameOrPath }) {
            try self.init(json: shipped.value, source: nameOrPath)
            return
        }
        guard nameOrPath.contains("/") || nameOrPath.hasSuffix(".json") else {
            throw ProfileError(
                description:
                    "there is no profile \(nameOrPath); there are \(Self.shippedNames.joined(separator: ", ")), "
                    + "and files (PATH.json)")
        }
        let data: Data
        do { data = try Data(contentsOf: URL(filePath: nameOrPath)) } catch {
            throw ProfileError(description: "the profile \(nameOrPath) cannot be read; check its path and permissions")
        }
        try self.init(json: Array(data), source: nameOrPath)
    }

    /// Decodes and checks a profile.
    /// - Parameter source: where the text comes from, for messages.
    /// - Throws: `ProfileError` when the text is no valid profile.
    package init(json: [UInt8], source: String) throws {
        do { self = try JSONDecoder().decode(HBAProfile.self, from: Data(json)) } catch let error as DecodingError {
            throw ProfileError(description: "profile \(source): \(Self.text(of: error))")
        }
        try check(source: source)
    }

    private func check(source: String) throws {
        func fail(_ text: String) -> ProfileError { ProfileError(description: "profile \(source): \(text)") }
        guard Self.segmentTypes[dma.segmentType] != nil else {
            throw fail(
                "dma.segmentType is \(dma.segmentType); say one of \(Self.segmentTypes.keys.sorted().joined(separator: ", "))"
            )
        }
        guard maximumTaskCount <= 1024 else { throw fail("maximumTaskCount is \(maximumTaskCount); 1024 is the most") }
        guard pageSize >= 512, pageSize & (pageSize - 1) == 0, pageSize <= 1 << 20 else {
            throw fail("pageSize is \(pageSize); say a power of two from 512 to 1048576, 4096 or 16384 for instance")
        }
        let known = Set(ConfigurationCheck.requiredKeys.map(\.key) + ConfigurationCheck.kextKeys)
        if let unknown = constraints.keys.sorted().first(where: { !known.contains($0) }) {
            throw fail("\(unknown) is not a constraint; there are \(known.sorted().joined(separator: ", "))")
        }
    }

    private static func text(of error: DecodingError) -> String {
        func place(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? "" : "\(path): "
        }
        return switch error {
        case .dataCorrupted(let context): "\(place(context))\(context.debugDescription)"
        case .keyNotFound(let key, let context): "\(place(context))the key \(key.stringValue) is missing"
        case .typeMismatch(_, let context): "\(place(context))\(context.debugDescription)"
        case .valueNotFound(_, let context): "\(place(context))a value is missing"
        @unknown default: "it is not JSON"
        }
    }
}

extension HBAProfile: Decodable {
    /// A key of any name, so that unknown ones can be refused.
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// A number, or a hexadecimal number in a string: "0xFFFFFFFFFFFFFFFE".
    private struct Number: Decodable {
        var value: UInt64

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(UInt64.self) {
                value = number
                return
            }
            let text = (try? container.decode(String.self)) ?? ""
            // The initialiser would accept a sign, so the digits are checked first.
            guard text.hasPrefix("0x"), text.dropFirst(2).allSatisfy(\.isHexDigit),
                let number = UInt64(text.dropFirst(2), radix: 16)
            else {
                throw DecodingError.dataCorruptedError(
                    in: container, debugDescription: "write a number from 0 to 2^64-1, or \"0x...\"")
            }
            value = number
        }
    }

    /// Decodes a profile. Unknown keys are refused; keys that may be missing have defaults.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        let known: Set = [
            "name", "description", "driver", "constraints", "dma", "maximumTaskCount", "mapper", "pageSize",
        ]
        try Self.refuseUnknown(values, known)
        name = ForeignText(try values.decode(String.self, forKey: Key("name"))).description
        description = ForeignText(try values.decodeIfPresent(String.self, forKey: Key("description")) ?? "").description
        let kind = try values.decode(String.self, forKey: Key("driver"))
        guard let driver = DriverKind(rawValue: kind) else {
            throw DecodingError.dataCorruptedError(
                forKey: Key("driver"), in: values, debugDescription: "\(kind) is not a driver; say dext or kext")
        }
        self.driver = driver
        constraints = try values.decode([String: Number].self, forKey: Key("constraints")).mapValues(\.value)
        let dma = try values.nestedContainer(keyedBy: Key.self, forKey: Key("dma"))
        try Self.refuseUnknown(dma, ["maxTransferSize", "alignment", "numAddressBits", "segmentType"])
        self.dma = DMA(
            maxTransferSize: try dma.decode(Number.self, forKey: Key("maxTransferSize")).value,
            alignment: try dma.decodeIfPresent(Number.self, forKey: Key("alignment"))?.value ?? 4,
            numAddressBits: try dma.decodeIfPresent(Number.self, forKey: Key("numAddressBits"))?.value ?? 64,
            segmentType: try dma.decodeIfPresent(String.self, forKey: Key("segmentType")) ?? "Host64")
        maximumTaskCount = try values.decodeIfPresent(Number.self, forKey: Key("maximumTaskCount"))?.value ?? 64
        mapper = try values.decodeIfPresent(Bool.self, forKey: Key("mapper")) ?? true
        pageSize = try values.decodeIfPresent(Number.self, forKey: Key("pageSize"))?.value ?? 16384
    }

    private static func refuseUnknown(_ values: KeyedDecodingContainer<Key>, _ known: Set<String>) throws {
        for key in values.allKeys where !known.contains(key.stringValue) {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: values,
                debugDescription: "unknown key; there are \(known.sorted().joined(separator: ", "))")
        }
    }
}
