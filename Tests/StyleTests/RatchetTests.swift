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
    private static let largeTypes = [
        "ArrayStore.ArrayStore": 693,
        "ArrayStore.OpenedArray": 1251,
        "MDFormat.MDSuperblock": 743,
        "Simulation.ArrayLife": 1516,
    ]

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
    private static let checks = [
        "ArrayEngine": 51, "BenchReport": 1, "BlockStorage": 3, "BufferCache": 15, "DriverHost": 6, "HardwareBus": 1,
        "LoadGenerator": 2, "MDFormat": 4, "MemberIO": 7, "Members": 36, "NBDProtocol": 1, "NBDServer": 9,
        "ParallelInterface": 117,
        "Platform": 6, "RAID": 191, "RAIDController": 62, "RAIDControllerInterface": 2, "RemoteMembers": 1,
        "SCSIControllerDriverKit": 2, "Simulation": 5,
    ]

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

    /// What has no place in the sources, what is used instead, and how many there still are.
    private static let banned = [
        ("usleep(", "a wait for a state", 14), ("Dispatch.", "OSThread", 0), ("NSLock", "Lock", 0),
        ("gettimeofday(", "Platform's clock", 0), ("drand48(", "SeededGenerator", 0), ("popen(", "posix_spawn", 0),
        ("strcpy(", "a buffer", 0), ("try!", "do and catch", 0),
    ]

    @Test("calls that have a better replacement are not there")
    func bannedCalls() {
        for (call, instead, countMax) in Self.banned {
            let places = Project.sources.flatMap { source in
                source.lines.enumerated().filter { Source.code($0.element).contains(call) }
                    .map { "\(source.path):\($0.offset + 1)" }
            }
            #expect(places.count == countMax, "\(call) is for \(instead) now; \(countMax) are left at most: \(places)")
        }
    }

    @Test("JSON is made by an encoder")
    func json() {
        for source in Project.sources where !source.path.hasSuffix("TaskTrace.swift") {
            for (index, line) in source.lines.enumerated() {
                #expect(!line.contains("\\\": \\("), "\(source.path):\(index + 1) puts JSON together by itself")
            }
        }
    }
}
