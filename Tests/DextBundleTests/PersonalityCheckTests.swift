import DextBundle
import Diagnostics
import Platform
import TestTraits
import Testing

@Suite("Personalities", .blocks)
struct PersonalityCheckTests {
    private static let classes: [String: PersonalityCheck.DriverClass] = [
        "Disk": .init(isController: true, hasUserClients: false),
        "Nub": .init(isController: false, hasUserClients: true),
    ]
    private static let controller = [
        "IOClass": "IOUserSCSIParallelInterfaceController", "IOUserClass": "Disk", "IOProviderClass": "IOUserResources",
        "IOUserServerName": "com.example.disk", "CFBundleIdentifierKernel": "com.apple.iokit.IOSCSIParallelFamily",
    ]

    private func faults(_ personality: [String: String], hasClients: Bool = false) throws -> [Diagnosis] {
        var content = personality.map { "<key>\($0)</key><string>\($1)</string>" }.joined()
        if hasClients { content += "<key>UserClientProperties</key><dict/>" }
        let bytes = InfoPlistTests.personalities("<key>P</key><dict>\(content)</dict>")
        return try PersonalityCheck(InfoPlist(bytes, name: "Info.plist", product: "Disk"), classes: Self.classes)
            .faults()
    }

    @Test("of a correct driver have no fault")
    func correct() throws { #expect(try faults(Self.controller).isEmpty) }

    @Test(
        "that macOS drops without a word are named",
        arguments: [
            ("IOClass", nil, "IOClass is missing"), ("IOClass", "Disk", "IOClass is Disk"),
            ("IOProviderClass", nil, "IOProviderClass is missing"),
            ("IOUserServerName", nil, "IOUserServerName is missing"),
            ("CFBundleIdentifierKernel", nil, "CFBundleIdentifierKernel is missing"),
            ("CFBundleIdentifierKernel", "com.apple.kpi.iokit", "CFBundleIdentifierKernel is com.apple.kpi.iokit"),
            ("IOUserClass", "Disc", "no interface file declares this class"),
        ])
    func dropped(key: String, value: String?, text: String) throws {
        var personality = Self.controller
        personality[key] = value
        let found = try faults(personality)
        #expect(found.first?.fault == .personalityDropped)
        #expect(found.first?.detail.contains(text) == true, "\(found.map(\.detail))")
    }

    @Test("for another class than a controller's may be of another kernel class, but not of the controller's")
    func nub() throws {
        var personality = Self.controller
        personality["IOUserClass"] = "Nub"
        #expect(try faults(personality).map(\.detail).first?.contains("Nub is no controller") == true)
        personality["IOClass"] = "IOUserService"
        personality["CFBundleIdentifierKernel"] = nil
        #expect(try faults(personality).isEmpty)
    }

    @Test("with properties for user clients need NewUserClient")
    func clients() throws {
        #expect(try faults(Self.controller, hasClients: true).map(\.fault) == [.userClientWithoutFactory])
    }
}
