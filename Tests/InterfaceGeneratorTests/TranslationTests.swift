import InterfaceGenerator
import TestTraits
import Testing

/// What is made of a file, to the letter.
@Suite("Translation", .blocks)
struct TranslationTests {
    private static let text = """
        #include <DriverKit/IOTimerDispatchSource.iig>
        #include "Own.iig"
        class EXPORTED C : public IOService
        {
            int gone;
        public:
            enum { kOne };
            virtual bool init() override;
            virtual kern_return_t Start(IOService * provider) override;
            virtual void Tick(OSAction * action,
                uint64_t time) TYPE(IOTimerDispatchSource::TimerOccurred) QUEUENAME(Timers);
            virtual void Done(OSAction * TARGET, const uint16_t slots[8] = nullptr);
            virtual kern_return_t Later() = 0;
            static kern_return_t Make(C ** c);
        #ifdef TRACE
            virtual kern_return_t Trace(bool on) const DEPRECATED;
        #endif
        } ; int after;

        """

    private static let header = """
        // Made from Driver.iig by nbdext. Changes are lost when it is made again.
        #pragma once
        #include <nbdext/Generated.h>
        #line 1 "Driver.iig"
        #include <DriverKit/IOTimerDispatchSource.h>
        #include "Own.h"
        #line 3 "Driver.iig"
        struct C_IVars; struct C_LocalIVars;
        #line 3 "Driver.iig"
        class EXPORTED C : public IOService {
            NBDEXT_CLASS_BODY(C, IOService)
        public:
        #line 7 "Driver.iig"
            enum { kOne };
        #line 8 "Driver.iig"
            virtual bool init() override;
        #line 10 "Driver.iig"
            void Tick(OSAction * action, uint64_t time, OSDispatchMethod supermethod = nullptr);
            kern_return_t CreateActionTick(size_t referenceSize, OSAction **action);
        #line 12 "Driver.iig"
            void Done(OSAction *, const uint16_t slots[8] = nullptr, OSDispatchMethod supermethod = nullptr);
        #line 13 "Driver.iig"
            kern_return_t Later(OSDispatchMethod supermethod = nullptr);
        #line 14 "Driver.iig"
            static kern_return_t Make(C ** c);
        #line 15 "Driver.iig"
        #ifdef TRACE
        #define NBDEXT_IN_C_15
        #line 16 "Driver.iig"
            kern_return_t Trace(bool on, OSDispatchMethod supermethod = nullptr) const DEPRECATED;
        #line 17 "Driver.iig"
        #endif
        protected:
        #line 9 "Driver.iig"
            kern_return_t Start_Impl(IOService * provider);
        #line 10 "Driver.iig"
            void Tick_Impl(OSAction * action, uint64_t time);
        #line 12 "Driver.iig"
            void Done_Impl(OSAction *, const uint16_t slots[8]);
        #line 14 "Driver.iig"
            static kern_return_t Make_Impl(C ** c);
        #ifdef NBDEXT_IN_C_15
        #line 16 "Driver.iig"
            kern_return_t Trace_Impl(bool on) const;
        #endif
        };
        #line 9 "Driver.iig"
        #define C_Start_Args IOService * provider
        #line 10 "Driver.iig"
        #define C_Tick_Args OSAction * action, uint64_t time
        #line 12 "Driver.iig"
        #define C_Done_Args OSAction *, const uint16_t slots[8]
        #line 14 "Driver.iig"
        #define C_Make_Args C ** c
        #ifdef NBDEXT_IN_C_15
        #line 16 "Driver.iig"
        #define C_Trace_Args bool on
        #endif
        #define NBDEXT_IN_C_3
        #line 18 "Driver.iig"
         int after;

        """

    private static let implementation = """
        // Made from Driver.iig by nbdext. Changes are lost when it is made again.
        #include <Driver.h>
        #include <DriverKit/IOService.h>
        #include <DriverKit/OSAction.h>

        #ifdef NBDEXT_IN_C_3
        static const nbdext::MethodQueue C_queues[] = {
            {0x6971e7ea53f48ed3ULL, "Timers"},  // C::Tick
            {0, nullptr},
        };
        static const nbdext::MethodName C_methods[] = {
            {0x6971e7ea53f48ed3ULL, "C::Tick"},  // C::Tick
            {0x6014ff660d13dc6eULL, "C::Done"},  // C::Done
            {0x444a8dad09ef63b8ULL, "C::Later"},  // C::Later
        #ifdef NBDEXT_IN_C_15
            {0x14d4824a54ca6e7bULL, "C::Trace"},  // C::Trace
        #endif
            {0, nullptr},
        };
        NBDEXT_CLASS_DEFINITION(C, IOService, C_queues, C_methods)

        #line 10 "Driver.iig"
        auto C::Tick(OSAction * action, uint64_t time, OSDispatchMethod supermethod) -> void  // C::Tick
        { return nbdext::invoke<nbdext::Signature<void, OSAction *, uint64_t>>(this, 0x6971e7ea53f48ed3ULL, supermethod, \
        action, time); }
        kern_return_t C::CreateActionTick(size_t referenceSize, OSAction **action)
        { return nbdext::createAction(this, 0x6971e7ea53f48ed3ULL, 0x19be7dba9ab9fa3dULL, referenceSize, action); }  \
        // IOTimerDispatchSource::TimerOccurred
        #line 12 "Driver.iig"
        auto C::Done(OSAction *nbdext_1, const uint16_t slots[8], OSDispatchMethod supermethod) -> void  // C::Done
        { return nbdext::invokeTarget<nbdext::Signature<void, OSAction *, const uint16_t [8]>>(this, nbdext_1, \
        0x6014ff660d13dc6eULL, supermethod, nbdext_1, slots); }
        #line 13 "Driver.iig"
        auto C::Later(OSDispatchMethod supermethod) -> kern_return_t  // C::Later
        { return nbdext::invoke<nbdext::Signature<kern_return_t>>(this, 0x444a8dad09ef63b8ULL, supermethod); }
        #line 14 "Driver.iig"
        auto C::Make(C ** c) -> kern_return_t
        { return Make_Impl(c); }
        #ifdef NBDEXT_IN_C_15
        #line 16 "Driver.iig"
        auto C::Trace(bool on, OSDispatchMethod supermethod) const -> kern_return_t  // C::Trace
        { return nbdext::invoke<nbdext::Signature<kern_return_t, bool>>(const_cast<C *>(this), 0x14d4824a54ca6e7bULL, \
        supermethod, on); }
        #endif

        #line 3 "Driver.iig"
        kern_return_t C::_Dispatch(OSMetaClassBase *self, const IORPC rpc)
        {
            switch (rpc.id) {
        #line 9 "Driver.iig"
            case 0x62be0f59961061d0ULL: return nbdext::deliver<nbdext::Signature<kern_return_t, IOService *>>(\
        static_cast<C *>(self), &C::Start_Impl, rpc);  // IOService::Start
        #line 10 "Driver.iig"
            case 0x6971e7ea53f48ed3ULL: return nbdext::deliver<nbdext::Signature<void, OSAction *, uint64_t>>(\
        static_cast<C *>(self), &C::Tick_Impl, rpc);  // C::Tick
        #line 12 "Driver.iig"
            case 0x6014ff660d13dc6eULL: return nbdext::deliver<nbdext::Signature<void, OSAction *, const uint16_t [8]>>(\
        static_cast<C *>(self), &C::Done_Impl, rpc);  // C::Done
        #ifdef NBDEXT_IN_C_15
        #line 16 "Driver.iig"
            case 0x14d4824a54ca6e7bULL: return nbdext::deliver<nbdext::Signature<kern_return_t, bool>>(\
        static_cast<C *>(self), &C::Trace_Impl, rpc);  // C::Trace
        #endif
            }
            return IOService::_Dispatch(self, rpc);
        }
        #endif

        """

    @Test("header and source are these")
    func whole() {
        let made = Samples.translate(Self.text)
        #expect(made.header == Self.header)
        #expect(made.implementation == Self.implementation)
    }

    @Test("text outside of classes stays as it is, byte for byte")
    func text() {
        var inside = Array("// \u{e9}: ".utf8)
        inside += [0xFF, 0xC3]
        inside += Array("\r\n#define X \\\n class A : B {\nint a;".utf8)
        let made = Translation(of: Samples.parse(inside), in: ClassTable([]))
        let start = Array("#line 1 \"Driver.iig\"\n".utf8)
        let end = Array(made.header.suffix(inside.count + 1))
        #expect(end == inside + [UInt8(ascii: "\n")])
        #expect(made.header.dropLast(inside.count + 1).suffix(start.count) == start[...])
        let none = Translation(of: Samples.parse(""), in: ClassTable([]))
        #expect(String(decoding: none.implementation, as: UTF8.self).split(separator: "\n").count == 2)
    }

    /// Methods of a class of IOService, and what has to be in the header or the source of them.
    private static let pieces: [(String, String)] = [
        (
            "virtual kern_return_t A(OSDispatchMethod supermethod);",
            "supermethod, OSDispatchMethod nbdext_supermethod = nullptr"
        ),
        ("virtual void A(const uint32_t b[], int c[2][3]);", "Signature<void, const uint32_t *, int [2][3]>"),
        ("virtual void A(int b[][3]);", "Signature<void, int (*)[3]>"),
        ("virtual void A(void (^)(int b), int (*c)(void));", "Signature<void, void (^)(int b), int (*)(void)>"),
        (
            "virtual void A(void (^)(int b), int (*c)(void));",
            "A(void (^nbdext_1)(int b), int (*c)(void), OSDispatchMethod"
        ),
        (
            "virtual void A(OSSharedPtr<OSArray<int, 2>> b, unsigned);",
            "Signature<void, OSSharedPtr<OSArray<int, 2>>, unsigned>"
        ),
        (
            "virtual void A(std::string, const Foo, struct Bar, ::Baz b);",
            "std::string nbdext_1, const Foo nbdext_2, struct Bar nbdext_3, ::Baz b"
        ),
        ("virtual void A(\n    int /* the */ b, // one\n    int\nc);", "#define C_A_Args int b, int c\n"),
        (
            "virtual void A(int b = f(1, 2), X c = {1, 2});",
            "A(int b = f(1, 2), X c = {1, 2}, OSDispatchMethod supermethod = nullptr);"
        ),
        ("virtual void A(int b = f(1, 2), X c = {1, 2});", "#define C_A_Args int b, X c\n"),
        ("virtual unsigned long long A();", "auto C::A(OSDispatchMethod supermethod) -> unsigned long long"),
        ("void A(int b) LOCALONLY QUEUENAME(Q) NOTE(1, (2));", "    void A(int b) NOTE(1, (2));\n"),
        ("void A(int b) LOCALONLY QUEUENAME(\"Q\") NOTE;", ", \"Q\"},  // C::A"),
        ("virtual void A() IIG_LOCALONLY IIG_QUEUENAME(Q);", "    virtual void A();\n"),
        ("virtual void A() LOCALONLY = 0;", "NBDEXT_ABSTRACT_CLASS_DEFINITION(C, IOService, C_queues, C_methods)"),
        ("virtual void A() = 0;", "NBDEXT_CLASS_DEFINITION(C, IOService, C_queues, C_methods)"),
        ("kern_return_t A(int b);", "kern_return_t A_Impl(int b);"),
        ("int A(int b) const LOCALONLY { return b; }", "    int A(int b) const  { return b; }\n"),
        ("DEPRECATED(\"x\") virtual void A();", "    void A(OSDispatchMethod supermethod = nullptr);\n"),
        ("#include <A/B.iig>\nint a;", "#include <A/B.h>\n"),
        ("#define A \\\n    1\nint a;", "#define A \\\n    1\n"),
        ("union { int a; int b; };\nstruct S { int c; } s;", "    struct S { int c; };\n"),
        ("static int a, b;", "    static int a, b;\n"),
        ("DECLARE_THINGS(C, 1);", "    DECLARE_THINGS(C, 1);\n"),
    ]

    @Test("each construct becomes what C++ needs", arguments: pieces)
    func piece(text: String, expected: String) {
        let file = "class C : public IOService {\n\(text)\n};\n"
        #expect(!Samples.complaints(about: file).contains("error:"))
        let made = Samples.translate(file)
        #expect((made.header + made.implementation).contains(expected), "\(made)")
    }

    @Test("a kept type ends with a semicolon where its data members are dropped")
    func keptType() {
        let made = Samples.translate("class C : public IOService {\nunion { int a; };\nstruct S { int c; } s;\n};\n")
        #expect(!made.header.contains("int a") && !made.header.contains("} s"))
    }

    @Test("an extension's methods are those of the class, in its conditional")
    func extensions() {
        let made = Samples.translate(
            """
            class C : public IOService {
                virtual void A();
            };
            #if PRIVATE
            #elif SECRET
            class EXTENDS(C) CPrivate {
                virtual void B();
            };
            int between;
            #endif

            """)
        #expect(made.header.contains("#if PRIVATE\n#define NBDEXT_IN_C_4\n#line 5 \"Driver.iig\"\n#elif SECRET\n"))
        #expect(made.header.contains("#ifdef NBDEXT_IN_C_5\n#line 7 \"Driver.iig\"\n    void B_Impl();\n#endif"))
        #expect(made.header.contains("#elif SECRET\n#line 8 \"Driver.iig\"\n\nint between;"))
        #expect(!made.header.contains("CPrivate") && !made.implementation.contains("CPrivate"))
        #expect(made.implementation.contains("auto C::B(OSDispatchMethod supermethod)"))
    }

    @Test("a method keeps the number of the class that declared it first")
    func identifiers() {
        let made = Samples.translate(
            """
            class A : public IOService {
                virtual kern_return_t Start(IOService *p) override;
                virtual void Own();
            };
            class B : public A {
                kern_return_t Start(IOService *p) override QUEUENAME(Q);
                virtual void Own() override;
            };

            """)
        let parts = made.implementation.components(separatedBy: "#ifdef NBDEXT_IN_B")
        #expect(parts.count == 2 && parts[1].contains("{0x62be0f59961061d0ULL, \"Q\"},  // IOService::Start"))
        #expect(parts[1].contains("// A::Own") && !parts[1].contains("auto B::Own"))
    }

    @Test("names of files are safe in #line")
    func names() {
        let source = InterfaceSource(name: "a \"b\\c.iig", header: "b.h", bytes: [])
        let made = Translation(of: InterfaceFile(parsing: source), in: ClassTable([]))
        #expect(String(decoding: made.header, as: UTF8.self).contains("#line 1 \"a \\\"b\\\\c.iig\"\n"))
    }

    @Test("macros of files that are included count when they are handed over")
    func macros() {
        var macros = AttributeMacros()
        macros.merge(Samples.parse("#define ON(q) QUEUENAME(q)\n#define HERE LOCALONLY\n").macros)
        let text =
            "class C : public IOService {\nvirtual void A() ON(Q);\nvirtual void B() HERE;\nvoid D() OTHER;\n};\n"
        let source = InterfaceSource(name: "C.iig", header: "C.h", bytes: Array(text.utf8))
        let methods = InterfaceFile(parsing: source, macros: macros).classes.first?.methods ?? []
        #expect(methods.map { $0.attributes.map(\.name) } == [["QUEUENAME"], ["LOCALONLY"], []])
        #expect(methods.first?.attributes.first?.argument == "Q")
    }

    @Test("an include whose path is no text is renamed, too")
    func strangeInclusion() {
        let path: [UInt8] = [UInt8(ascii: "\"")] + [0xFF, 0xFE, 0xFF] + Array(".iig\"".utf8)
        let made = Translation(of: Samples.parse(Array("#include ".utf8) + path), in: ClassTable([]))
        #expect(Array(made.header.suffix(7)) == [0xFF, 0xFE, 0xFF] + Array(".h\"\n".utf8))
    }

    @Test("macros that stand for themselves stand for nothing")
    func circularMacros() {
        let file = Samples.parse(
            """
            #define M M M
            #define N(x) N(x) N(x) TYPE(x)
            class C : public IOService {
                void A() M LOCALONLY;
                void B() N(B) LOCALONLY;
            };
            """)
        #expect(file.diagnostics.isEmpty && file.classes[0].methods.map(\.attributes.count) == [1, 1])
    }

    @Test("#if 0 excludes what is before its #else, and what is nested in it")
    func excluded() {
        let file = Samples.parse(
            """
            #if 0 // never
            class A : public IOService {
            # if 1
            class B : public IOService { };
            # else
            it's no C++
            # endif
            #else
            class C : public IOService { };
            #endif
            #if 0x1
            class D : public IOService { };
            #endif
            """)
        #expect(file.diagnostics.isEmpty && file.classes.map(\.name) == ["C", "D"])
    }

    @Test("inclusions are listed as they are written")
    func inclusions() {
        let file = Samples.parse(
            "#include <A/B.iig>\n # import \"C.h\" // x\n#include MACRO\n#if 0\n#include <D>\n#endif\n")
        #expect(file.inclusions.map(\.path) == ["A/B.iig", "C.h"])
        #expect(file.inclusions.map(\.isAngled) == [true, false])
    }
}
