import Foundation
import Testing

/// What other targets and drivers see has a text, and pages speak of what there is.
@Suite("Documentation of declarations")
struct DocumentationTests {
    /// Declarations that need no text of their own: their meaning is the standard library's.
    private static let known: Set = ["description", "hash", "==", "<", "debugDescription"]

    /// Names of requirements that a protocol of the sources documents: whoever fulfils them need not repeat it.
    private static let requirements: Set<String> = {
        var names: Set<String> = []
        for source in Project.sources {
            var margin: String?
            for (index, line) in source.lines.enumerated() {
                if let outer = margin, line.hasPrefix(outer + "}") { margin = nil }
                if Source.code(line).contains("protocol ") { margin = String(line.prefix { $0 == " " }) }
                guard margin != nil, source.isDocumented(line: index), let name = name(declaredIn: line) else {
                    continue
                }
                names.insert(name)
            }
        }
        return names
    }()

    private static func name(declaredIn line: String) -> String? {
        let words = Source.words(line)
        guard let index = words.firstIndex(where: { ["func", "var", "let"].contains($0) }), index + 1 < words.count
        else { return nil }
        let name = words[index + 1].prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "`" }
        return name.isEmpty ? words[index + 1].prefix { $0 != "(" }.description : String(name)
    }

    private static let kinds: Set<Substring> = [
        "func", "var", "let", "subscript", "struct", "class", "enum", "protocol", "typealias", "actor",
    ]

    /// The labels of an initialiser's arguments.
    private static func labels(_ source: Source, line: Int) -> [String] {
        let text = source.lines[line...].prefix(12).joined(separator: " ").components(separatedBy: "{")[0]
        return text.matches(of: /[(,] *(?:_ )?(\w+)(?: \w+)? *:/).map { String($0.1) }
    }

    /// Whether a declaration must have a text.
    private static func needsText(_ source: Source, line index: Int, properties: Set<String>) -> Bool {
        let words = Source.words(source.lines[index])
        guard let access = words.first, ["package", "public", "open"].contains(access), !words.contains("override"),
            !words.contains("extension"), !words.contains("import")
        else { return false }
        if words.contains(where: { $0.hasPrefix("init(") || $0.hasPrefix("init?(") }) {
            // A memberwise initialiser's arguments are the properties, which have texts.
            return !labels(source, line: index).allSatisfy { properties.contains($0) }
        }
        guard words.contains(where: { kinds.contains($0) || $0.hasPrefix("subscript(") }) else { return false }
        guard let name = name(declaredIn: source.lines[index]) else { return true }
        return !known.contains(name) && !requirements.contains(name)
    }

    @Test("declarations that other targets see say what they are")
    func declarations() {
        var count = 0
        for source in Project.sources {
            let properties = Set(source.lines.compactMap { Self.name(declaredIn: $0) })
            for index in source.lines.indices where Self.needsText(source, line: index, properties: properties) {
                count += 1
                let isDocumented = source.isDocumented(line: index)
                #expect(isDocumented, "\(source.path):\(index + 1) has no documentation: \(source.lines[index])")
            }
        }
        #expect(count > 1200, "the declarations were not found")
    }

    /// What is public there is a driver developer's manual. (Overrides have the text of what they override.)
    @Test("every public symbol of the driver kit says what it is")
    func driverKitDocumentation() {
        var count = 0
        for source in Project.sources where source.target == "SCSIControllerDriverKit" {
            var publicEnumIndent: Int?
            for (index, line) in source.lines.enumerated() {
                let words = line.split(separator: " ")
                let indent = line.prefix { $0 == " " }.count
                if let outer = publicEnumIndent, line.hasPrefix(String(repeating: " ", count: outer) + "}") {
                    publicEnumIndent = nil
                }
                guard let first = words.first else { continue }
                let isPublic = ["public", "open"].contains(first) && !words.contains("override")
                let isRequiredInit = words.prefix(3).elementsEqual(["public", "required", "override"])
                let isCase = first == "case" && publicEnumIndent.map { indent == $0 + 4 } == true
                if isPublic && words.contains("enum") { publicEnumIndent = indent }
                guard isPublic || isRequiredInit || isCase else { continue }
                count += 1
                #expect(
                    source.isDocumented(line: index),
                    "\(source.path):\(index + 1) is public and has no documentation: \(line)")
            }
        }
        #expect(count > 150, "the declarations were not found")
    }

    /// Words of others in the pages: Apple's, the kernel's, the standards'.
    private static let foreign: Set = [
        "TaskTimeoutOccurred", "UserCopyDataBuffer", "UserSetHBAProperties", "UserSetTargetProperties",
    ]

    @Test("the names of types and files in the pages are there")
    func pages() throws {
        // Drivers in C++ declare their classes in interface files.
        let interfaces = try Project.files(in: "Sources", ".iig").map(Project.text)
        let code =
            ((Project.sources + Project.tests).map { $0.lines.joined(separator: "\n") } + interfaces)
            .joined(separator: "\n")
        let words = Set(code.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
        let files = Set((Project.sources + Project.tests).map { $0.path.split(separator: "/").last.map(String.init)! })
        for page in ["README.md", "SECURITY.md"] + Project.files(in: "Docs", ".md") {
            for match in try Project.text(page).matches(
                of: /`([A-Z]\w+\+?\w*\.swift|[A-Z][a-z]\w*|[A-Z]+[a-z]\w*)(?:\.\w+)*`/)
            {
                let name = String(match.1)
                let isThere =
                    name.hasSuffix(".swift") ? files.contains(name) || name == "Package.swift" : words.contains(name)
                #expect(
                    isThere || Self.foreign.contains(name), "\(page) speaks of \(name), which is not in the sources")
            }
        }
    }
}
