import Foundation
import Testing

/// Rules that the code has not reached everywhere. A limit may only be made stricter: a test says when it can be.
@Suite("Ratchets")
struct RatchetTests {
    @Test("functions fit a screen")
    func functions() {
        var count = 0
        for source in Project.sources {
            for function in source.functions {
                count += 1
                #expect(
                    function.lineCount <= 63,
                    "\(source.path):\(function.line + 1) has \(function.lineCount) lines")
            }
        }
        #expect(count > 2500, "the functions were not found")
    }

    /// Types of more than 600 lines, with their extensions, in lines.
    private static let largeTypes = ["x": 0]

    @Test("a type has 600 lines at most, its extensions included")
    func types() {
        var sizes: [String: Int] = [:]
        for source in Project.sources {
            for part in source.typeParts { sizes["\(source.target).\(part.name)", default: 0] += part.lineCount }
        }
        for (name, lineCount) in sizes.sorted(by: { $0.key < $1.key }) {
            let limit = Self.largeTypes[name] ?? 600
            #expect(lineCount <= limit, "\(name) has \(lineCount) lines, its extensions included")
        }
        for (name, limit) in Self.largeTypes {
            let lineCount = sizes[name] ?? 0
            #expect(
                lineCount > limit - 50, "\(name) has \(lineCount) lines: lower its limit, or strike it off the list")
        }
    }

    @Test("comments are as wide as code at most")
    func commentWidth() {
        for source in Project.sources + Project.tests {
            for (index, line) in source.lines.enumerated() where line.count > 120 {
                let isComment = line.drop { $0 == " " }.hasPrefix("//")
                #expect(!isComment, "\(source.path):\(index + 1) is \(line.count) columns wide")
            }
        }
    }

    @Test("what the compiler is told to believe says why it may")
    func safety() {
        for source in Project.sources {
            for (index, line) in source.lines.enumerated() {
                let code = Source.code(line)
                guard code.contains("@unchecked Sendable") || code.contains("nonisolated(unsafe)") else { continue }
                let near = source.lines[max(0, index - 3)...min(source.lines.count - 1, index + 3)]
                #expect(near.contains { $0.contains("SAFETY:") }, "\(source.path):\(index + 1) has no SAFETY note")
            }
        }
    }

    /// How many checks of states and arguments a target has at least.
    private static let checks = ["RAID": 0]

    @Test("a target does not lose its assertions")
    func assertions() {
        var counts: [String: Int] = [:]
        for source in Project.sources {
            for line in source.lines {
                let code = Source.code(line)
                let isCheck = ["precondition(", "preconditionFailure(", "assert(", "assertionFailure(", "fatalError("]
                    .contains { code.contains($0) }
                if isCheck { counts[source.target, default: 0] += 1 }
            }
        }
        for (target, count) in counts {
            let floor = Self.checks[target] ?? 0
            #expect(count >= floor, "\(target) has \(count) assertions, and had \(floor)")
            #expect(count <= floor + 5, "\(target) has \(count) assertions: raise its floor")
        }
    }

    /// What has no place in the sources, and what is used instead.
    private static let banned = [
        ("usleep(", "wait for a state"), (" sleep(", "wait for a state"), ("DispatchQueue", "OSThread"),
        ("NSLock", "Lock"), ("os_unfair", "Lock"), ("gettimeofday(", "Platform's clock"),
        (" time(nil)", "Platform's clock"),
        (" rand()", "SeededGenerator"), ("drand48(", "SeededGenerator"), ("popen(", "posix_spawn"),
        ("strcpy(", "a buffer"),
        ("try!", "do and catch"),
    ]

    @Test("banned calls are not there")
    func bannedCalls() {
        for source in Project.sources {
            for (index, line) in source.lines.enumerated() {
                let code = Source.code(line)
                for (call, instead) in Self.banned where code.contains(call) {
                    Issue.record("\(source.path):\(index + 1) has \(call): use \(instead)")
                }
            }
        }
    }
}
