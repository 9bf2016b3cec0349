import Foundation
import Testing

/// What people are told. A message says what to do next, and nobody loses data by doing it.
@Suite("Messages")
struct MessageTests {
    /// Where messages about arrays come from.
    private static let targets = [
        "ArrayStore", "RAID", "RemoteMembers", "Members", "RAIDController", "EmulatedMachine", "NBDServer", "Control",
        "nbdext",
    ]

    /// What would destroy data that somebody may need, in the words of an advice.
    private static func isDestructive(_ text: String) -> Bool {
        let things = "(it|them|one of them|the (file|array|member|copy|export|superblock)s?)"
        let patterns = [
            "(overwrite|erase|delete|remove|clear|wipe|zero|format|unlink|recreate|re-create|create) \(things)\\b",
            "(with|say|use|by) --force[^;]*(create|overwrit)", "create [^;]*--force", "overwrit[^;]* --force",
            "create one of them", "--zero-superblock", "--assume-clean", "\\bmkfs\\b", "\\brm -", "\\bdd (if|of)=",
        ]
        return patterns.contains { text.range(of: $0, options: .regularExpression) != nil }
    }

    /// The string literals of a source, with those that are joined by "+" made one. Comments are left out.
    private static func literals(_ source: String) -> [String] {
        let code = source.components(separatedBy: "\n").filter {
            !$0.drop { $0 == " " }.hasPrefix("//")
        }.joined(separator: "\n")
        let joined = code.replacing(/"\s*\n?\s*\+ "/, with: "")
        return joined.matches(of: /"(?:[^"\\\n]|\\.)*"/).map { String($0.output) }
    }

    @Test("none advises a command that destroys data")
    func advice() throws {
        var count = 0
        for source in Project.sources where Self.targets.contains(source.target) {
            for literal in Self.literals(source.lines.joined(separator: "\n")) {
                count += 1
                #expect(!Self.isDestructive(literal), "\(source.path): \(literal)")
            }
        }
        #expect(count > 1000, "the sources have more texts than \(count)")
    }

    @Test(
        "such an advice would be found",
        arguments: [
            "x is a member already; overwrite it with --force", "remove the file if it is not needed any more",
            "exports need different names: create one of them with another --name", "clear it, or name another one",
            "make it anew: nbdext create a --level 5 --force",
        ])
    func known(advice: String) { #expect(Self.isDestructive(advice)) }

    @Test(
        "and others are not taken for one",
        arguments: [
            "choose another directory (--force would destroy that array)", "let go of it with nbdext remove",
            "holds no array; make one with: nbdext create a --level 5 --members 4 --size 10G",
        ])
    func harmless(text: String) { #expect(!Self.isDestructive(text)) }
}
