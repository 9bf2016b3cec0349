import InterfaceGenerator
import TestTraits
import Testing

/// What the parser says, to the letter, and where it goes on.
@Suite("Syntax errors", .blocks)
struct SyntaxErrorTests {
    /// Members of a class, and what is said of them: line and column in the class's body, message, and the column's
    /// text on that line.
    private static let members: [(String, String)] = [
        ("virtual void a()\nvirtual void b();", "1:17: error: expected ';' after the declaration of 'a'"),
        ("virtual void a() override\nkern_return_t b();", "1:26: error: expected ';' after the declaration of 'a'"),
        ("int a\nvirtual void b();", "1:6: error: expected ';' after 'a'"),
        ("int a = 3\nvirtual void b();", "1:10: error: expected ';' after 'a'"),
        ("virtual void a(int b;\nvirtual void c();", "1:21: error: expected ')' to end the parameters of 'a'"),
        ("virtual void a(int b,, int c);", "1:22: error: expected a parameter"),
        ("virtual void a(int b, );", "1:23: error: expected a parameter"),
        ("virtual void a(5);", "1:16: error: expected a type"),
        ("virtual void a(int b = );", "1:24: error: expected a value"),
        ("virtual void a(int b \"x\");", "1:22: error: expected ',' or ')', not '\"x\"'"),
        ("virtual void a(int 'b);", "1:20: error: the literal does not end on its line"),
        (
            "virtual void a(int b,\n#if X\nint c\n#endif\n);",
            "2:1: error: a line of the preprocessor cannot be inside of a declaration; put it around the whole method"
        ),
        ("virtual a();", "1:9: error: expected what 'a' returns"),
        ("a();\nb() LOCALONLY;", "2:1: error: expected what 'b' returns"),
        ("virtual void (int a);", "1:14: error: expected the name of a method before '('"),
        ("virtual void a() = 1;", "1:20: error: expected '= 0' after the declaration of 'a'"),
        ("auto a() -> int;", "1:10: error: write what 'a' returns before its name"),
        (
            "void (*a(int b))(int);",
            "1:8: error: 'a' returns a pointer to a function; give its type a name by typedef"
        ),
        (
            "virtual void a(OSAction *b) TYPE;",
            "1:33: error: expected '(' after 'TYPE', and what it names in parentheses"
        ),
        ("virtual void a() QUEUENAME();", "1:28: error: 'QUEUENAME' has to name something"),
        ("public\nvirtual void a();", "1:7: error: expected ':' after 'public'"),
        ("C();", "1:1: error: a class of DriverKit has no constructor; write init()"),
        ("virtual ~C();", "1:9: error: a class of DriverKit has no destructor; write free()"),
        ("virtual void 5a();", "1:14: error: expected a method or a data member, not '5a'"),
        ("= 5;", "1:1: error: expected a method or a data member before '='"),
        ("template <class T void a();", "1:10: error: expected '>' to end the template's parameters"),
        ("OSSharedPtr<OSString a();", "1:12: error: expected '>' to end the template's arguments"),
        ("using T = int\nvirtual void a();", "1:14: error: expected ';' after 'using'"),
        ("struct S { int a; }\nvirtual void b();", "1:20: error: expected ';' after '}'"),
        ("int a[2;", "1:8: error: expected ']'"),
        ("bool operator;", "1:14: error: expected '(' after the operator"),
    ]

    @Test("a member that cannot be read is named with its place, and the next one is read", arguments: members)
    func badMember(text: String, expected: String) {
        let file = Samples.parse("class C : public OSObject {\n\(text)\nvirtual void last();\n};\n")
        let errors = file.diagnostics.filter { $0.severity == .error }
        #expect(errors.count == 1)
        #expect(file.classes.first?.methods.last?.name == "last")
        guard let error = errors.first else { return }
        #expect("\(error.line - 1):\(error.column): error: \(error.message)" == expected)
    }

    private static let files: [(String, String)] = [
        ("class C : public OSObject {\nint a;\n", "2:7: error: expected '}' to end the class 'C'"),
        ("class C : public OSObject {\n}\nint a;\n", "2:2: error: expected ';' after the class 'C'"),
        ("class C : public {};\n", "1:18: error: expected the base class of 'C'"),
        (
            "class C : public A, public B {};\n",
            "1:19: error: 'C' has more than one base class; a class of DriverKit has one"
        ),
        ("class C : public A B {};\n", "1:20: error: expected '{' to begin the class 'C'"),
        ("class KERNEL : public A {};\n", "1:14: error: expected the name of the class"),
        ("class EXTENDS C {};\n", "1:14: error: expected '(' after 'EXTENDS', and what it names in parentheses"),
        ("class EXTENDS(A) C {};\n", "1:18: error: 'C' extends 'A', which has to be a class of the same file"),
        ("int a; /* and\nclass C {};\n", "1:8: error: the comment does not end"),
        (
            "class C : public A {\n#if X\n};\n#endif\n",
            "3:1: error: expected '#endif' before the end of the class 'C'"
        ),
        (
            "#if X\nclass C : public A {\n#endif\n};\n",
            "3:1: error: a conditional that begins before the class 'C' has to end behind it"
        ),
    ]

    @Test("so is a class", arguments: files)
    func badFile(text: String, expected: String) {
        let error = Samples.parse(text).diagnostics.first { $0.severity == .error }
        #expect(error.map { "\($0.line):\($0.column): error: \($0.message)" } == expected)
    }

    @Test("several errors are found in a file, each printed as clang does")
    func printed() {
        let text = """
            class C : public OSObject {
            public:
            \tvirtual bool init() override
            \tvirtual void a(OSAction *action TYPE);
                virtual void b(int x;
                virtual void c();
            };
            class D : public OSObject {
                D();
            };

            """
        let expected = """
            Driver.iig:3:30: error: expected ';' after the declaration of 'init'
            \tvirtual bool init() override
            \t                            ^
            Driver.iig:4:38: error: expected '(' after 'TYPE', and what it names in parentheses
            \tvirtual void a(OSAction *action TYPE);
            \t                                    ^
            Driver.iig:5:25: error: expected ')' to end the parameters of 'b'
                virtual void b(int x;
                                    ^
            Driver.iig:5:19: note: to match this '('
                virtual void b(int x;
                              ^
            Driver.iig:9:5: error: a class of DriverKit has no constructor; write init()
                D();
                ^
            """
        #expect(Samples.complaints(about: text) == expected)
    }

    @Test("a caret stands below its place behind tabs and other alphabets")
    func caret() {
        let text = "class C : public OSObject { /* \t\u{e4}\u{4e2d} */ C(); };\r\n"
        let error = Samples.parse(text).diagnostics.first
        let lines = error?.description.split(separator: "\n") ?? []
        #expect(lines.count == 3 && lines[1] == text.dropLast(1))
        #expect(lines.last == "                               \t      ^")
    }
}
