import InterfaceGenerator
import Platform
import TestTraits
import Testing

/// Whatever bytes come, the translator ends, and its diagnostics can be printed.
@Suite("Random input", .busy)
struct RandomInputTests {
    private static let words = [
        "class", "class C", ": public", "IOService", "OSObject", "C", "D", "{", "}", "};", ";", "(", ")", "[", "]", "<",
        ">",
        ",", "*", "&", "^", "::", "=", "= 0", "~", "#", "virtual", "static", "void", "kern_return_t", "override",
        "final",
        "const", "LOCALONLY", "TYPE", "TYPE(", "TYPE(A::B)", "QUEUENAME(Q)", "EXTENDS(C)", "TARGET", "KERNEL",
        "operator",
        "template <", "enum", "struct", "union", "typedef", "friend", "using", "public:", "private", "namespace N {",
        "extern \"C\" {", "\"", "'", "/*", "*/", "//", "\n", "\n#if X\n", "\n#else\n", "\n#endif\n", "\n#if 0\n",
        "\n#define M M M\n", "\n#define N(x) TYPE(x) N(x)\n", "\n#include <A.iig>\n", "M", "N(a)", "\\\n", "R\"(",
        ")\"", "...",
        "0x1'2", "\u{e4}", "\0", "__attribute__((", "[[", "->", "OSAction *a", "Start", "init()", "\r\n", "\t",
    ]

    private func check(_ bytes: [UInt8], _ reason: String) {
        let file = Samples.parse(bytes)
        let table = ClassTable(Samples.kitFiles + [file])
        let diagnostics = file.diagnostics + table.check(file)
        for diagnostic in diagnostics {
            #expect(diagnostic.line > 0 && diagnostic.column > 0 && !diagnostic.description.isEmpty, "\(reason)")
        }
        let made = Translation(of: file, in: table)
        #expect(!made.header.isEmpty && !made.implementation.isEmpty, "\(reason)")
        for type in file.classes { _ = table.missingPureVirtuals(of: type.name) }
    }

    @Test("tokens in any order", arguments: 1...300)
    func soup(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var text = random.below(2) == 0 ? "" : "class C : public IOService {\n"
        for _ in 0..<random.below(120) {
            text += Self.words[random.below(Self.words.count)] + (random.below(4) == 0 ? "" : " ")
        }
        check(Array(text.utf8), "seed \(seed)")
    }

    @Test("good files with pieces cut out, doubled, moved and replaced", arguments: 1...300)
    func mutations(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var bytes = Array([Samples.driver, Samples.controller][random.below(2)].utf8)
        for _ in 0...random.below(8) {
            let start = random.below(bytes.count)
            let end = min(bytes.count, start + random.below(40))
            switch random.below(5) {
            case 0: bytes.removeSubrange(start..<end)
            case 1: bytes.insert(contentsOf: bytes[start..<end], at: random.below(bytes.count))
            case 2: bytes[start] = UInt8(random.below(256))
            case 3: bytes.insert(contentsOf: Self.words[random.below(Self.words.count)].utf8, at: start)
            default: bytes.removeSubrange(start...)
            }
            if bytes.isEmpty { bytes = [0] }
        }
        check(bytes, "seed \(seed)")
    }

    @Test("a file cut off anywhere")
    func cuts() {
        let bytes = Array(Samples.driver.utf8)
        for end in stride(from: 0, to: bytes.count, by: 37) { check(Array(bytes[..<end]), "cut at \(end)") }
    }

    @Test(
        "depth without end does not end the stack",
        arguments: ["(", "[", "{", "<", "class C : public D {", "struct S {", "#if X\n", "TYPE(", "namespace N {", "("])
    func depth(text: String) {
        let deep = String(repeating: text, count: 3000)
        check(Array(deep.utf8), "deep \(text)")
        check(Array(("class C : public IOService { virtual void a" + deep).utf8), "deep \(text) in a class")
    }
}
