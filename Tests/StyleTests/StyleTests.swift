import Foundation
import Testing

/// The rules of the code that a compiler does not know.
@Suite("Style")
struct StyleTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The layers from the bottom up. A target may import those before it.
    private static let layers = [
        "Platform", "Statistics", "Diagnostics", "MemberIO", "SCSI", "NBDProtocol", "HardwareBus", "Members",
        "RemoteMembers", "RAID",
        "ArrayStore",
        "RAIDControllerInterface", "RAIDController", "Simulation", "nbdext-sim", "SCSIControllerDriverKit",
        "RAIDDriver", "DriverHost",
        "ParallelInterface", "SCSIArchitectureModel", "BlockStorage", "BufferCache", "HBAProfiles", "StackModel",
        "EmulatedMachine", "DriverCheck", "Scenarios", "NBDServer", "LoadGenerator", "BenchReport", "nbdext",
        "nbdext-raid-driver", "nbdext-scenario-driver",
    ]
    /// Bytes and values in, bytes and values out: no system, no clock, no thread.
    private static let pure: Set = ["MemberIO", "SCSI", "NBDProtocol", "RAID", "RAIDControllerInterface"]

    struct Source: Sendable {
        var target: String
        var path: String
        var lines: [String]

        var imports: [String] {
            lines.compactMap { line in
                let words = line.split(separator: " ")
                guard let index = words.firstIndex(of: "import"), index <= 1, words.count > index + 1 else {
                    return nil
                }
                return String(words[index + 1])
            }
        }
    }

    /// All Swift files below a folder.
    private static func sources(_ folder: String) -> [Source] {
        let base = root.appendingPathComponent(folder)
        let paths = (try? FileManager.default.subpathsOfDirectory(atPath: base.path)) ?? []
        return paths.filter { $0.hasSuffix(".swift") }.sorted().map { path in
            let text = (try? String(contentsOf: base.appendingPathComponent(path), encoding: .utf8)) ?? ""
            return Source(
                target: String(path.split(separator: "/")[0]), path: "\(folder)/\(path)",
                lines: text.components(separatedBy: "\n"))
        }
    }

    @Test("every target is a layer")
    func everyTargetIsALayer() {
        #expect(Set(Self.sources("Sources").map(\.target)) == Set(Self.layers))
    }

    @Test("imports go down only")
    func importsGoDown() {
        for source in Self.sources("Sources") {
            let own = Self.layers.firstIndex(of: source.target)!
            for name in source.imports {
                guard let other = Self.layers.firstIndex(of: name) else { continue }
                #expect(other < own, "\(source.path) imports \(name), which is above it")
            }
        }
    }

    @Test("pure targets know no system")
    func pureTargets() {
        for source in Self.sources("Sources") where Self.pure.contains(source.target) {
            for name in source.imports { #expect(Self.pure.contains(name), "\(source.path) imports \(name)") }
        }
    }

    /// Read and write JSON, away from the way of a request.
    private static let mayUseJSON: Set = ["HBAProfiles", "StackModel"]

    @Test("nothing that is served imports Foundation")
    func noFoundation() {
        for source in Self.sources("Sources") {
            let allowed = Self.mayUseJSON.contains(source.target) ? ["FoundationEssentials"] : []
            #expect(
                !source.imports.contains {
                    ($0.hasPrefix("Foundation") || $0 == "Dispatch") && !allowed.contains($0)
                }, "\(source.path)")
        }
    }

    @Test("the reference driver uses the driver kit and its card's data sheet, nothing else")
    func driverImports() {
        let allowed: Set = ["SCSIControllerDriverKit", "RAIDControllerInterface", "Synchronization"]
        for source in Self.sources("Sources") where source.target == "RAIDDriver" {
            #expect(Set(source.imports).isSubset(of: allowed), "\(source.path)")
        }
    }

    @Test("files are short")
    func fileLength() {
        for source in Self.sources("Sources") + Self.sources("Tests") {
            #expect(source.lines.count <= 600, "\(source.path) has \(source.lines.count) lines")
        }
    }

    /// What a build without detectors may leave out: what names mistakes, and nothing that protects the server.
    private static let detection = ["judge(", "findOvertakenWrites(", "checkResponse("]

    @Test("no protection is left out of a build without detectors")
    func detectorsDetect() {
        var count = 0
        for source in Self.sources("Sources") {
            for line in source.lines where line.contains("Detectors." + "areEnabled") {
                count += 1
                #expect(Self.detection.contains { line.contains($0) }, "\(source.path): \(line)")
            }
        }
        #expect(count > 0)
    }

    /// Bytes and values in, bytes and values out: their tests wait for nothing.
    private static let neverWait: Set = [
        "SCSITests", "NBDProtocolTests", "RAIDTests", "StatisticsTests", "HBAProfilesTests", "StackModelTests",
        "BenchReportTests", "StyleTests", "SCSIArchitectureModelTests",
    ]

    @Test("suites that wait say so, and leave it to that to notice a hang")
    func waitingSuites() {
        for source in Self.sources("Tests") where !Self.neverWait.contains(source.target) {
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
        for source in Self.sources("Tests") {
            #expect(!source.lines.contains { $0.contains(".time" + "Limit(") }, "\(source.path) has a limit of its own")
        }
    }

    @Test("what can be printed, and where files are made, is decided in one place")
    func onePlace() {
        let rules: [(word: String, targets: Set<String>, files: Set<String>)] = [
            ("print(", ["nbdext"], ["Output.swift", "TerminalScreen.swift"]),
            ("STDERR_FILENO, ", Set(Self.layers).subtracting(["nbdext"]), ["StandardError.swift"]),
            ("O_CREAT", Set(Self.layers), ["OpenDirectory.swift"]),
        ]
        for (word, targets, files) in rules {
            for source in Self.sources("Sources") where targets.contains(source.target) {
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
        let page = try String(contentsOf: Self.root.appendingPathComponent("SECURITY.md"), encoding: .utf8)
        let tests = Self.sources("Tests")
        let fuzz = try String(contentsOf: Self.root.appendingPathComponent("scripts/fuzz"), encoding: .utf8)
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
        for source in Self.sources("Sources") {
            for line in source.lines where line.contains("TO" + "DO") || line.contains("FIX" + "ME") {
                Issue.record("\(source.path): \(line)")
            }
        }
    }

    /// Apple's method and constant names, and requirements that their protocol documents, explain themselves there.
    private static let documentedElsewhere: Set = ["SCSIControllerDriverKit", "RAIDDriver"]

    @Test("types that other targets see say what they are")
    func documentation() {
        for source in Self.sources("Sources") where !Self.documentedElsewhere.contains(source.target) {
            for (index, line) in source.lines.enumerated() {
                let words = line.split(separator: " ")
                guard let access = words.first, access == "package" || access == "public" || access == "open",
                    words.contains(where: { ["struct", "class", "enum", "protocol"].contains($0) })
                else { continue }
                #expect(
                    Self.isDocumented(source, line: index),
                    "\(source.path):\(index + 1) has no documentation: \(line)")
            }
        }
    }

    /// What is public there is a driver developer's manual. (Overrides have the text of what they override.)
    @Test("every public symbol of the driver kit says what it is")
    func driverKitDocumentation() {
        var count = 0
        for source in Self.sources("Sources") where source.target == "SCSIControllerDriverKit" {
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
                    Self.isDocumented(source, line: index),
                    "\(source.path):\(index + 1) is public and has no documentation: \(line)")
            }
        }
        #expect(count > 150, "the declarations were not found")
    }

    /// Whether a doc comment stands above a line, or above the attributes on it.
    private static func isDocumented(_ source: Source, line: Int) -> Bool {
        var above = line - 1
        while above >= 0, source.lines[above].trimmingCharacters(in: .whitespaces).hasPrefix("@") { above -= 1 }
        return above >= 0 && source.lines[above].trimmingCharacters(in: .whitespaces).hasPrefix("///")
    }
}
