import Platform
import TestSupport
import TestTraits
import Testing

@testable import DextBuilder

@Suite("A step of a build", .blocks)
struct CompileStepTests {
    @Test(
        "depends on the files that the compiler lists",
        arguments: [
            ("a.o: a.cpp b.h", ["a.cpp", "b.h"]), ("a.o: a.cpp \\\n  b.h \\\n  c.h\n", ["a.cpp", "b.h", "c.h"]),
            ("a.o: my\\ dir/a.cpp c\\#1.h", ["my dir/a.cpp", "c#1.h"]), ("a.o: cost$$.h", ["cost$.h"]),
            ("a.o: back\\slash.h", ["back\\slash.h"]), ("", []), ("no colon", []),
        ])
    func dependencies(rule: String, files: [String]) { #expect(CompileStep.dependencies(rule) == files) }

    /// A compiler that makes its object of the source, and notes that the object depends on it.
    private func compiler(in directory: String) throws -> [String] {
        let script = """
            while [ $# -gt 0 ]; do case "$1" in -MF) d=$2;; -c) s=$2;; -o) o=$2;; esac; shift; done
            cp "$s" "$o" && echo "$o: $s" >"$d"
            """
        try TextFile.write(script, to: "\(directory)/compile.sh")
        return ["/bin/sh", "\(directory)/compile.sh"]
    }

    @Test("is done once, and again when its source or its command changes")
    func upToDate() throws {
        let directory = try TemporaryDirectory(name: "build")
        let source = "\(directory.path)/a.cpp"
        let compile = try compiler(in: directory.path)
        try TextFile.write("one", to: source)
        func step(_ flags: [String] = []) -> CompileStep {
            CompileStep(title: "a", source: source, object: "\(directory.path)/a.o", compile: compile + flags)
        }
        #expect(!step().isUpToDate)
        #expect(try step().run().isDone)
        #expect(step().isUpToDate)
        #expect(!step(["-O0"]).isUpToDate)
        try TextFile.write("two", to: source)
        #expect(!step().isUpToDate)
    }

    @Test("that fails has to be done again, whatever a former time left")
    func failed() throws {
        let directory = try TemporaryDirectory(name: "build")
        try TextFile.write("old", to: "\(directory.path)/a.o")
        let step = CompileStep(
            title: "a", source: "a.cpp", object: "\(directory.path)/a.o",
            compile: ["/bin/sh", "-c", "echo broken >&2; exit 1"])
        let (output, isDone) = try step.run()
        #expect(!isDone)
        #expect(output == "broken\n")
        #expect(!step.isUpToDate)
    }
}
