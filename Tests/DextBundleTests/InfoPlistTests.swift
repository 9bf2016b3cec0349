import DextBundle
import Platform
import SCSIControllerDriverKit
import TestTraits
import Testing

@Suite("A DEXT's property list", .blocks)
struct InfoPlistTests {
    static func xml(_ content: String) -> [UInt8] {
        Array(
            """
            <?xml version="1.0" encoding="UTF-8"?>
            <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
            <plist version="1.0"><dict>\(content)</dict></plist>
            """.utf8)
    }

    static func personalities(_ content: String) -> [UInt8] {
        xml(
            "<key>CFBundleIdentifier</key><string>com.example.disk</string><key>IOKitPersonalities</key>"
                + "<dict>\(content)</dict>")
    }

    @Test("gives the identifier, a name, and personalities with values of every type")
    func values() throws {
        let info = try InfoPlist(
            Self.personalities(
                """
                <key>One</key><dict>
                  <key>number</key><integer>18446744073709551615</integer><key>minus</key><integer>-1</integer>
                  <key>zero</key><integer>0</integer><key>one</key><integer>1</integer>
                  <key>yes</key><true/><key>no</key><false/><key>text</key><string>1</string>
                  <key>data</key><data>AAH/</data><key>list</key><array><string>a</string><true/></array>
                  <key>inner</key><dict><key>a</key><integer>2</integer></dict>
                </dict>
                """), name: "Info.plist", product: "Disk")
        #expect(info.identifier == "com.example.disk")
        #expect(info.name == "disk")
        #expect(
            info.personalities["One"] == [
                "number": .number(.max), "minus": .number(.max), "zero": 0, "one": 1, "yes": true, "no": false,
                "text": "1", "data": .data([0, 1, 0xFF]), "list": .array(["a", true]),
                "inner": .dictionary(["a": 2]),
            ])
    }

    @Test("without an identifier gets the product's")
    func withoutIdentifier() throws {
        let bytes = Self.xml("<key>IOKitPersonalities</key><dict><key>P</key><dict/></dict>")
        #expect(try InfoPlist(bytes, name: "Info.plist", product: "My Disk").identifier == "local.My-Disk")
    }

    @Test(
        "that cannot be used is refused with one sentence",
        arguments: [
            (Array("not a list".utf8), "Info.plist is no property list"),
            (xml(""), "has no IOKitPersonalities"),
            (xml("<key>CFBundleIdentifier</key><string>a.b</string>"), "has no IOKitPersonalities"),
            (personalities("<key>P</key><string>x</string>"), "the personality P is no dictionary"),
            (
                personalities("<key>P</key><dict><key>r</key><real>1.5</real></dict>"),
                "IOKitPersonalities.P.r is a real"
            ),
            (
                personalities("<key>P</key><dict><key>d</key><date>2026-01-01T00:00:00Z</date></dict>"),
                "IOKitPersonalities.P.d is a date"
            ),
        ])
    func refused(bytes: [UInt8], text: String) {
        let error = #expect(throws: OperationError.self) { try InfoPlist(bytes, name: "Info.plist", product: "Disk") }
        #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
    }
}

@Suite("The variables of a property list", .blocks)
struct PropertyListVariablesTests {
    private let variables = PropertyListVariables(
        product: "My Disk", values: ["A": "1", "PRODUCT_BUNDLE_IDENTIFIER": "com.example.disk"])

    @Test(
        "are replaced in both forms, and only whole ones",
        arguments: [
            ("$(A)${A}", "11"), ("a$(PRODUCT_NAME)b", "aMy Diskb"), ("$(PRODUCT_NAME:rfc1034identifier)", "My-Disk"),
            ("$(PRODUCT_BUNDLE_IDENTIFIER)", "com.example.disk"), ("$", "$"), ("$$(A)", "$1"), ("$(A", "$(A"),
            ("$(not a name)", "$(not a name)"), ("$()", "$()"), ("$A", "$A"),
        ])
    func replaced(text: String, result: String) { #expect(variables.replace(in: text).text == result) }

    @Test("that nobody knows become nothing, and are named once")
    func unknown() {
        let (text, unknown) = variables.replace(in: "<$(X)$(Y)$(X)>")
        #expect(text == "<>")
        #expect(unknown == ["X", "Y"])
    }

    @Test("have an identifier of their own when the developer gives none")
    func identifier() {
        #expect(
            PropertyListVariables(product: "My Disk").replace(in: "$(PRODUCT_BUNDLE_IDENTIFIER)").text
                == "local.My-Disk")
    }
}
