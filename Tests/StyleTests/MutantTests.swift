import Foundation
import Testing

/// The patches of scripts/mutants break the code as it is now.
@Suite("Mutants")
struct MutantTests {
    @Test("every patch fits the code", arguments: Project.files(in: "Tests/Mutants", ".patch"))
    func fits(path: String) throws {
        var old = ""
        var hunk: [String] = []
        func check() throws {
            defer { hunk = [] }
            guard !hunk.isEmpty else { return }
            #expect(old.contains("\n" + hunk.joined(separator: "\n") + "\n"), "make the patch anew")
        }
        for line in try Project.text(path).components(separatedBy: "\n") {
            if line.hasPrefix("--- a/") {
                try check()
                old = "\n" + (try Project.text(String(line.dropFirst(6).prefix { $0 != "\t" })))
            } else if line.hasPrefix("@@") {
                try check()
            } else if line.hasPrefix(" ") || line.hasPrefix("-") {
                hunk.append(String(line.dropFirst()))
            }
        }
        try check()
        #expect(!old.isEmpty)
    }
}
