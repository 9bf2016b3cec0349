import Foundation
import Testing

/// The rules of the code that a compiler does not know.
@Suite("Style")
struct StyleTests {
    @Test("files are short")
    func fileLength() {
        for source in Project.sources + Project.tests {
            #expect(source.lines.count <= 600, "\(source.path) has \(source.lines.count) lines")
        }
    }

    /// What a build without detectors may leave out: what names mistakes, and nothing that protects the server.
    private static let detection = ["judge(", "findOvertakenWrites(", "checkResponse("]

    @Test("no protection is left out of a build without detectors")
    func detectorsDetect() {
        var count = 0
        for source in Project.sources {
            for line in source.lines where line.contains("Detectors." + "areEnabled") {
                count += 1
                #expect(Self.detection.contains { line.contains($0) }, "\(source.path): \(line)")
            }
        }
        #expect(count > 0)
    }

    /// Bytes and values in, bytes and values out: their tests wait for nothing.
    private static let neverWait: Set = [
        "SCSITests", "NBDProtocolTests", "MDFormatTests", "RAIDTests", "StatisticsTests", "HBAProfilesTests",
        "StackModelTests",
        "BenchReportTests", "StyleTests", "SCSIArchitectureModelTests",
    ]

    @Test("suites that wait say so, and leave it to that to notice a hang")
    func waitingSuites() {
        for source in Project.tests where !Self.neverWait.contains(source.target) {
            for (index, line) in source.lines.enumerated() where line.contains("@Suite") {
                let text = source.lines[index...].prefix { !$0.contains("struct ") }.joined() + " "
                // One without a name only groups others.
                let isNamed = text.contains("\"")
                #expect(
                    !isNamed || text.contains(".blocks") || text.contains(".needsCore"),
                    "\(source.path):\(index + 1) says neither .blocks nor .needsCore (see Tests/TestTraits/Needs.swift)"
                )
            }
        }
        for source in Project.tests {
            #expect(!source.lines.contains { $0.contains(".time" + "Limit(") }, "\(source.path) has a limit of its own")
        }
    }

    @Test("what can be printed, and where files are made, is decided in one place")
    func onePlace() {
        let rules: [(word: String, applies: (String) -> Bool, files: Set<String>)] = [
            ("print(", { ["nbdext", "Control", "Bench"].contains($0) }, ["Output.swift", "TerminalScreen.swift"]),
            ("STDERR_FILENO, ", { $0 != "nbdext" }, ["StandardError.swift"]),
            ("O_CREAT", { _ in true }, ["OpenDirectory.swift"]),
        ]
        for (word, applies, files) in rules {
            for source in Project.sources where applies(source.target) {
                guard !files.contains(where: { source.path.hasSuffix("/\($0)") }) else { continue }
                for (index, line) in source.lines.enumerated() {
                    let code = line.components(separatedBy: "//")[0]
                    let isUsed = code.components(separatedBy: word).dropLast().contains {
                        !($0.last.map { $0.isLetter || $0 == "." } ?? false)
                    }
                    #expect(
                        !isUsed, "\(source.path):\(index + 1) uses \(word): \(files.sorted()) is where that is done")
                }
            }
        }
    }

    @Test("the tests that SECURITY.md names exist")
    func promises() throws {
        let page = try Project.text("SECURITY.md")
        let tests = Project.tests
        let fuzz = try Project.text("scripts/fuzz")
        var count = 0
        for match in page.matches(of: /`(\w+\.swift)`: \*([^*]+)\*/) {
            count += 1
            let name = "\"\(match.2)\""
            let isThere = tests.contains {
                $0.path.hasSuffix("/\(match.1)") && $0.lines.contains { $0.contains(name) }
            }
            #expect(isThere, "\(match.1) has no test \(name)")
        }
        for match in page.matches(of: /`scripts\/fuzz (\w+)`/) {
            count += 1
            #expect(fuzz.contains(" \(match.1)"), "there is no target \(match.1)")
        }
        #expect(count > 40)
    }

    @Test("nothing is left for later")
    func looseEnds() {
        for source in Project.sources {
            for line in source.lines where line.contains("TO" + "DO") || line.contains("FIX" + "ME") {
                Issue.record("\(source.path): \(line)")
            }
        }
    }

    /// Apple's method and constant names, and requirements that their protocol documents, explain themselves there.
    private static let documentedElsewhere: Set = ["SCSIControllerDriverKit", "RAIDDriver"]

    @Test("types that other targets see say what they are")
    func documentation() {
        for source in Project.sources where !Self.documentedElsewhere.contains(source.target) {
            for (index, line) in source.lines.enumerated() {
                let words = line.split(separator: " ")
                guard let access = words.first, access == "package" || access == "public" || access == "open",
                    words.contains(where: { ["struct", "class", "enum", "protocol"].contains($0) })
                else { continue }
                #expect(
                    source.isDocumented(line: index),
                    "\(source.path):\(index + 1) has no documentation: \(line)")
            }
        }
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
}
