import Platform
import TestTraits
import Testing

@testable import InterfaceGenerator

/// What the parser reads is what was written: printed and read again it is the same.
@Suite("Round trips", .busy)
struct RoundTripTests {
    @Test("the samples, printed and parsed again, are the same")
    func samples() {
        for (header, text) in Samples.kit + [("Driver.h", Samples.driver)] {
            let classes = Samples.parse(text, header: header).classes.filter { $0.base != nil }
            #expect(!classes.isEmpty)
            for type in classes {
                let again = Samples.parse(Printer.text(of: type))
                #expect(again.diagnostics.isEmpty)
                #expect(again.classes.map(Printer.tree) == [Printer.tree(of: type)], "\(type.name)")
            }
        }
    }

    @Test("classes that chance has made are read as they were meant", arguments: 1...300)
    func random(seed: UInt64) {
        var chance = Chance(seed: seed)
        let (text, tree) = chance.type()
        let file = Samples.parse(text)
        #expect(file.diagnostics.isEmpty && file.classes.map(Printer.tree) == [tree], "seed \(seed): \(text)")
        let again = file.classes.map { Samples.parse(Printer.text(of: $0)).classes.map(Printer.tree) }
        #expect(again == [[tree]], "seed \(seed): \(text)")
    }
}

/// Writes classes as interface files, and as values that can be compared.
enum Printer {
    static func text(of type: InterfaceClass) -> String {
        let words = type.attributes.map(text) + type.macros.map(\.text) + [type.name] + (type.isFinal ? ["final"] : [])
        let base = type.base.map { " : public \($0)" } ?? ""
        return "class \(words.joined(separator: " "))\(base) {\n"
            + type.methods.map { text(of: $0) + "\n" }.joined() + "};\n"
    }

    private static func text(_ attribute: Attribute) -> String {
        attribute.name + (attribute.argument.map { "(\($0))" } ?? "")
    }

    private static func text(of method: Method) -> String {
        let front = ["static", "virtual"].filter(method.words.contains) + [method.result.joined, method.name]
        let parameters = method.parameters.map { parameter in
            let value = parameter.defaultValue.isEmpty ? "" : " = " + parameter.defaultValue.joined
            return ([parameter.declaration()] + parameter.attributes.map(text)).joined(separator: " ") + value
        }
        let behind =
            (method.suffix.isEmpty ? [] : [method.suffix.joined])
            + ["override", "final"].filter(method.words.contains) + method.attributes.map(text)
            + (method.isPure ? ["= 0"] : [])
        let body = method.hasBody ? " { }" : ";"
        return "\(front.joined(separator: " "))(\(parameters.joined(separator: ", ")))"
            + behind.map { " " + $0 }.joined() + body
    }

    /// All of a class that does not depend on where it stands.
    static func tree(of type: InterfaceClass) -> [String] {
        ["\(type.name) \(type.base ?? "-") \(type.isFinal) \(type.attributes.map(text)) \(type.macros.joined)"]
            + type.methods.map(tree)
    }

    private static func tree(of method: Method) -> String {
        let parameters = method.parameters.map { parameter in
            "\(parameter.name ?? "-") of \(parameter.type.filter { $0 != " " }) "
                + "\(parameter.attributes.map(text)) \(parameter.defaultValue.joined.filter { $0 != " " })"
        }
        return
            "\(method.name) \(method.result.joined.filter { $0 != " " }) \(parameters) \(method.attributes.map(text)) "
            + "\(method.words.sorted()) \(method.isPure) \(method.suffix.joined.filter { $0 != " " }) \(method.hasBody)"
    }
}

/// Makes classes, and says what the parser should read.
struct Chance {
    private var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    private mutating func one(of texts: [String]) -> String { texts[generator.below(texts.count)] }
    private mutating func isTrue(_ percent: Int) -> Bool { generator.below(100) < percent }

    /// Space, breaks and comments, none of which means anything.
    private mutating func space() -> String {
        one(of: [" ", "  ", "\n    ", " /* void x(); */ ", " // };\n", "\t", "\r\n"])
    }

    mutating func type() -> (text: String, tree: [String]) {
        let attributes = isTrue(40) ? [one(of: ["KERNEL", "NATIVE", "LOCALONLY"])] : []
        let macro = isTrue(20) ? "EXPORTED" : ""
        let isFinal = isTrue(20)
        var text = (["class"] + attributes + (macro.isEmpty ? [] : [macro]) + ["C"] + (isFinal ? ["final"] : []))
            .joined(separator: space())
        text += space() + ":" + space() + one(of: ["public ", ""]) + "IOService" + space() + "{"
        var tree = ["C IOService \(isFinal) \(attributes) \(macro)"]
        for number in 0..<generator.below(6) {
            text += space() + noise() + space()
            let (method, value) = self.method(number)
            text += method
            tree.append(value)
        }
        return (text + "\n};\n", tree)
    }

    /// What stands between methods and is none.
    private mutating func noise() -> String {
        one(of: [
            "", "", "public:", "private :", ";", "\n#if X\n#endif\n", "\n#pragma mark -\n", "int a[2] = {1, 2};",
            "enum { k = 1 };", "struct S { int a; void f(); };", "typedef int T;", "friend class F;",
            "static constexpr int n = (1);", "using super2 = int;", "void (^block)(int) = nullptr;", "struct F;",
        ])
    }

    private mutating func method(_ number: Int) -> (String, String) {
        let isStatic = isTrue(15)
        let isVirtual = !isStatic && isTrue(70)
        let result = one(of: [
            "void", "kern_return_t", "OSSharedPtr<OSString>", "const char *", "unsigned long long",
            "std::pair<int, A<B>>",
        ])
        var parameters: [String] = []
        var values: [String] = []
        for place in 0..<generator.below(4) {
            let (parameter, value) = self.parameter(place)
            parameters.append(parameter)
            values.append(value)
        }
        let isConst = isTrue(20)
        let isPure = isVirtual && isTrue(20)
        let override = isVirtual && isTrue(30) ? one(of: ["override", "final"]) : ""
        let attributes = (0..<generator.below(3)).map { _ in
            one(of: ["LOCAL", "LOCALONLY", "QUEUENAME(Q)", "TYPE(A::B)", "REPLY", "INVOKEREPLY", "IIG_KERNEL"])
        }
        let hasBody = !isPure && isTrue(10)
        let front = (isStatic ? ["static"] : []) + (isVirtual ? ["virtual"] : []) + [result, "m\(number)"]
        let list =
            parameters.isEmpty ? one(of: ["", "void", " "]) : parameters.joined(separator: space() + "," + space())
        let behind =
            (isConst ? ["const"] : []) + (override.isEmpty ? [] : [override]) + attributes + (isPure ? ["= 0"] : [])
        let text =
            front.joined(separator: " ") + space() + "(" + list + ")"
            + behind.map { space() + $0 }.joined() + space() + (hasBody ? "{ if (x) { y('}'); } }" : ";")
        let words =
            (isStatic ? ["static"] : []) + (isVirtual ? ["virtual"] : []) + (isConst ? ["const"] : [])
            + (override.isEmpty ? [] : [override])
        let plain = attributes.map { $0.replacing("IIG_", with: "") }
        return (
            text,
            "m\(number) \(result.filter { $0 != " " }) \(values) \(plain) \(words.sorted()) \(isPure) "
                + "\(isConst ? "const" : "") \(hasBody)"
        )
    }

    private mutating func parameter(_ place: Int) -> (String, String) {
        let isNamed = isTrue(75)
        let name = isNamed ? one(of: ["a\(place)", "the_\(place)", "kX\(place)", "TARGETS\(place)"]) : ""
        let (before, after) = [
            ("int ", ""), ("const struct S *", ""), ("OSAction * ", ""), ("unsigned long ", ""), ("Foo const &", ""),
            ("OSSharedPtr<A<B>> ", ""), ("const uint16_t ", "[kMax + 1]"), ("void (^", ")(int, char *)"),
            ("int (*", ")(void)"), ("::N::T ", ""), ("const char *const *", ""), ("uint8_t ", "[2][3]"),
        ][generator.below(12)]
        let attributes = isTrue(25) ? [one(of: ["TARGET", "TYPE(A::B)", "TYPE(B)", "PORTMAKESEND"])] : []
        let value = isTrue(20) ? one(of: ["3", "nullptr", "f(1, 2)", "{1, 2}", "\",)\"", "A<1, 2>::v"]) : ""
        let text = before + name + after + attributes.map { " " + $0 }.joined() + (value.isEmpty ? "" : " = " + value)
        let type = (before + after).filter { $0 != " " }
        return (text, "\(isNamed ? name : "-") of \(type) \(attributes) \(value.filter { $0 != " " })")
    }
}
