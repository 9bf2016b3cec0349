import Foundation

/// The checkout, as text.
enum Project {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// - Parameter path: from the checkout's root.
    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// The files below a folder, by their paths from the checkout's root.
    static func files(in folder: String, _ suffix: String) -> [String] {
        let base = root.appendingPathComponent(folder)
        let paths = (try? FileManager.default.subpathsOfDirectory(atPath: base.path)) ?? []
        return paths.filter { $0.hasSuffix(suffix) }.sorted().map { "\(folder)/\($0)" }
    }

    /// The Swift files of the program.
    static let sources = files(in: "Sources", ".swift").map { Source(path: $0, targetDepth: 2) }
    /// The Swift files of the tests and of what they need.
    static let tests = files(in: "Tests", ".swift").map { Source(path: $0, targetDepth: 1) }
}

/// One Swift file.
struct Source: Sendable {
    let target: String
    let path: String
    let lines: [String]

    /// - Parameter targetDepth: the position of the target's name in the path.
    fileprivate init(path: String, targetDepth: Int) {
        self.path = path
        target = String(path.split(separator: "/")[targetDepth])
        lines = ((try? Project.text(path)) ?? "").components(separatedBy: "\n")
    }

    var imports: [String] {
        lines.compactMap { line in
            let words = line.split(separator: " ")
            guard let index = words.firstIndex(of: "import"), index <= 1, words.count > index + 1 else { return nil }
            return String(words[index + 1])
        }
    }

    /// A line without its comment.
    static func code(_ line: String) -> String { line.components(separatedBy: "//")[0] }

    /// Whether a doc comment stands above a line, or above the attributes on it.
    func isDocumented(line: Int) -> Bool {
        var above = line - 1
        while above >= 0, lines[above].trimmingCharacters(in: .whitespaces).hasPrefix("@") { above -= 1 }
        return above >= 0 && lines[above].trimmingCharacters(in: .whitespaces).hasPrefix("///")
    }
}

/// The list of targets in Package.swift, from the bottom up.
struct Manifest {
    struct Layer {
        let group: String
        let name: String
        let uses: [String]
        let isSwift: Bool
    }

    let layers: [Layer]

    init() throws {
        let text = try Project.text("Package.swift")
        let list = text.components(separatedBy: "let groups")[1].components(separatedBy: "// MARK:")[0]
        let token =
            /\(\n +"(?<group>\w+)",\n +\[|(?<kind>layer|kit|clang|system|program)\(\s*"(?<name>[\w-]+)"(?<rest>[^)]*)\)/
        var group = ""
        var layers: [Layer] = []
        for match in list.matches(of: token) {
            if let name = match.group { group = String(name) }
            guard let name = match.name, let kind = match.kind, let rest = match.rest else { continue }
            let uses = rest.components(separatedBy: "uses:").dropFirst().joined()
                .replacing("copies:", with: "resources:").components(separatedBy: "resources:")
            layers.append(
                Layer(
                    group: group, name: String(name),
                    uses: (uses.first ?? "").matches(of: /"([\w-]+)"/).map { String($0.1) },
                    isSwift: !["clang", "system"].contains(kind)))
        }
        self.layers = layers
    }
}
