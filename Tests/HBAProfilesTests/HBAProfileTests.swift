import Foundation
import HBAProfiles
import ParallelInterface
import SCSIControllerDriverKit
import Testing

/// A change to the text of a profile that makes it wrong, and what the message has to say.
struct WrongProfile: CustomTestStringConvertible, Sendable {
    var testDescription: String
    /// The text to replace; nil for all of it.
    var old: String?
    var new: String
    var expected: [String]

    init(_ name: String, _ old: String?, _ new: String, saying expected: String...) {
        testDescription = name
        self.old = old
        self.new = new
        self.expected = expected
    }

    static let all = [
        WrongProfile(
            "unknown key", "\"pageSize\"", "\"pagesize\"", saying: "pagesize: unknown key; there are", "pageSize"),
        WrongProfile(
            "unknown key of the DMA specification", "\"numAddressBits\"", "\"bits\"",
            saying: "dma.bits: unknown key; there are", "numAddressBits"),
        WrongProfile(
            "unknown constraint", "\"HBA Data Alignment\"", "\"HBA Data Alinement\"",
            saying: "HBA Data Alinement is not a constraint; there are", "HBA Data Alignment",
            "IOMaximumByteCountRead"),
        WrongProfile(
            "a number that is a word", "\"maxTransferSize\": 65536", "\"maxTransferSize\": \"large\"",
            saying: "dma.maxTransferSize: write a number from 0 to 2^64-1, or \"0x...\""),
        WrongProfile(
            "a negative number", "\"IOMaximumSegmentCountRead\": 129", "\"IOMaximumSegmentCountRead\": -1",
            saying: "constraints.IOMaximumSegmentCountRead: write a number"),
        WrongProfile(
            "a broken number", "\"maximumTaskCount\": 64", "\"maximumTaskCount\": 6.5",
            saying: "maximumTaskCount: write a number"),
        WrongProfile(
            "a hexadecimal number with a sign", "\"maximumTaskCount\": 64", "\"maximumTaskCount\": \"0x+40\"",
            saying: "maximumTaskCount: write a number"),
        WrongProfile(
            "a hexadecimal number without digits", "\"maximumTaskCount\": 64", "\"maximumTaskCount\": \"0x\"",
            saying: "maximumTaskCount: write a number"),
        WrongProfile(
            "a hexadecimal number of 65 bits", "\"maximumTaskCount\": 64",
            "\"maximumTaskCount\": \"0x10000000000000000\"", saying: "maximumTaskCount: write a number"),
        WrongProfile(
            "a name that is a number", "\"name\": \"test\"", "\"name\": 5", saying: "name: ", "String"),
        WrongProfile("a switch that is a word", "\"mapper\": true", "\"mapper\": \"yes\"", saying: "mapper: ", "Bool"),
        WrongProfile(
            "constraints that are a list", "\"constraints\": {", "\"constraints\": [], \"dma\": {",
            saying: "constraints: ", "ictionary"),
        WrongProfile("another driver", "\"dext\"", "\"efi\"", saying: "driver: ", "say dext or kext"),
        WrongProfile("no name", "\"name\": \"test\",", "", saying: "the key name is missing"),
        WrongProfile(
            "no transfer size", "\"maxTransferSize\": 65536,", "", saying: "dma: the key maxTransferSize is missing"),
        WrongProfile("null", "\"driver\": \"dext\"", "\"driver\": null", saying: "driver: a value is missing"),
        WrongProfile(
            "another layout", "\"Host64\"", "\"Host65\"", saying: "dma.segmentType is Host65; say one of", "Host64"),
        WrongProfile(
            "too many tasks", "\"maximumTaskCount\": 64", "\"maximumTaskCount\": 1025",
            saying: "maximumTaskCount is 1025; 1024 is the most"),
        WrongProfile(
            "a page that is no power of two", "16384", "10000", saying: "pageSize is 10000; say a power of two", "4096"
        ),
        WrongProfile("a page of nothing", "16384", "0", saying: "pageSize is 0; say a power of two"),
        WrongProfile("a page below a block", "16384", "256", saying: "pageSize is 256; say", "from 512 to"),
        WrongProfile("a page that is too large", "16384", "2097152", saying: "pageSize is 2097152; say", "1048576"),
        WrongProfile("not JSON", nil, "name = test", saying: "not", "JSON"),
        WrongProfile("half a profile", "\"pageSize\": 16384\n}", "", saying: "not", "JSON"),
        WrongProfile("nothing", nil, "", saying: "JSON"),
        WrongProfile("a list", nil, "[]", saying: "ictionary"),
    ]
}

@Suite("HBA profiles")
struct HBAProfileTests {
    private static let text = """
        {
          "name": "test",
          "description": "for tests",
          "driver": "dext",
          "constraints": {
            "IOMaximumSegmentCountRead": 129,
            "HBA Data Alignment": "0xFFFFFFFFFFFFFFFE"
          },
          "dma": { "maxTransferSize": 65536, "alignment": "0x10", "numAddressBits": 40, "segmentType": "Host64" },
          "maximumTaskCount": 64,
          "mapper": true,
          "pageSize": 16384
        }
        """

    /// Reads a profile as a user gives it.
    private func profile(_ text: String) throws -> HBAProfile {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).json").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try HBAProfile(nameOrPath: path)
    }

    private func message(_ body: () throws -> HBAProfile) -> String {
        do {
            _ = try body()
            return "no error"
        } catch let error as ProfileError {
            return error.description
        } catch {
            return "another error: \(error)"
        }
    }

    @Test("every shipped profile can be read, and has the name that it is found by", arguments: HBAProfile.shippedNames)
    func shipped(name: String) throws {
        let profile = try HBAProfile(nameOrPath: name)
        #expect(profile.name == name)
        #expect(!profile.description.isEmpty)
        #expect(profile.driver == (name.hasPrefix("kext") ? .kext : .dext))
        #expect(profile.mapper && profile.pageSize == 16384)
        // An alignment mask of all ones is more than a double can hold.
        #expect(profile.constraints[kIOMinimumHBADataAlignmentMaskKey] == .max)
    }

    @Test("every file in the folder of profiles is shipped, and the other way round")
    func files() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Sources/Machine/HBAProfiles/Profiles")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(files) == Set(HBAProfile.shippedNames.map { $0 + ".json" }))
    }

    @Test("what is written arrives at the driver and at the block layer")
    func values() throws {
        let profile = try profile(Self.text)
        #expect(profile.constraints == ["IOMaximumSegmentCountRead": 129, "HBA Data Alignment": UInt64.max - 1])
        #expect(profile.hbaConstraints.maximumSegmentCountRead == 129)
        #expect(profile.hbaConstraints.maximumSegmentCountWrite == 0)
        #expect(profile.dmaSpecification.maxTransferSize == 65536)
        #expect(profile.dmaSpecification.alignment == 16)
        #expect(profile.dmaSpecification.numAddressBits == 40)
        #expect(profile.dmaSpecification.segmentType == .kDMAOutputSegmentHost64)
        let personality = profile.personality
        #expect(personality["HBA Constraints"]?.dictionaryValue?["HBA Data Alignment"] == .number(UInt64.max - 1))
        #expect(personality["DMA Specification"]?.dictionaryValue?["maxTransferSize"] == .number(65536))
        #expect(personality["Maximum Task Count"] == .number(64))
        let options = profile.kernelOptions(policy: .macos)
        #expect(options.policy == .macos && options.hasMapper && options.pageByteCount == 16384)
    }

    @Test("what is left out has a default")
    func defaults() throws {
        let profile = try profile(#"{"name": "a", "driver": "kext", "constraints": {}, "dma": {"maxTransferSize": 1}}"#)
        #expect(profile.description == "")
        #expect(profile.dma.maxTransferSize == 1 && profile.dma.alignment == 4)
        #expect(profile.dma.numAddressBits == 64 && profile.dma.segmentType == "Host64")
        #expect(profile.maximumTaskCount == 64)
        #expect(profile.mapper)
        #expect(profile.pageSize == 16384)
    }

    @Test("only a KEXT's byte and block counts reach the block layer", arguments: ["dext", "kext"])
    func byteCounts(driver: String) throws {
        let text =
            #"{"name": "a", "driver": "\#(driver)", "dma": {"maxTransferSize": 1}, "#
            + #""constraints": {"IOMaximumByteCountRead": 4096, "IOMaximumBlockCountWrite": 8}}"#
        let constraints = try profile(text).hbaConstraints
        #expect(constraints.maximumByteCountRead == (driver == "kext" ? 4096 : 0))
        #expect(constraints.maximumBlockCountWrite == (driver == "kext" ? 8 : 65535))
        #expect(constraints.maximumBlockCountRead == 65535)
    }

    @Test("a profile that is wrong is refused with what to write", arguments: WrongProfile.all)
    func wrong(profile: WrongProfile) throws {
        let text = profile.old.map { Self.text.replacingOccurrences(of: $0, with: profile.new) } ?? profile.new
        #expect(text != Self.text)
        let message = message { try self.profile(text) }
        #expect(message.hasPrefix("profile "), "\(message)")
        for expected in profile.expected { #expect(message.contains(expected), "\(message)") }
        #expect(!message.contains("\n"), "\(message)")
    }

    @Test("a name that does not exist lists those that do; a file that does not exist is named")
    func missing() {
        let unknown = message { try HBAProfile(nameOrPath: "dext-46k") }
        #expect(unknown.contains("there is no profile dext-46k"))
        for name in HBAProfile.shippedNames { #expect(unknown.contains(name)) }
        for path in ["/nonesuch/profile.json", "profile-that-is-not-there.json", "/tmp/"] {
            let text = message { try HBAProfile(nameOrPath: path) }
            #expect(text == "the profile \(path) cannot be read; check its path and permissions")
        }
    }
}
