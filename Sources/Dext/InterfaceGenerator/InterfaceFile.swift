/// An interface file, parsed: its classes, and what it is to be made of. Everything else of it is text.
package struct InterfaceFile: Sendable {
    /// A file that this one includes.
    package struct Inclusion: Sendable, Equatable {
        /// As written: `DriverKit/IOService.iig`.
        package let path: String
        /// Whether the path stands in angle brackets.
        package let isAngled: Bool
        /// Where the line begins in the source.
        package let offset: Int
    }

    /// Where the text came from.
    package let source: InterfaceSource
    /// The classes in their order. Those that only extend another one are part of that.
    package let classes: [InterfaceClass]
    /// The files that it includes, with or without `.iig`, in their order.
    package let inclusions: [Inclusion]
    /// The macros that it defines, for the parsing of files that include it.
    package let macros: AttributeMacros
    /// What the parser found wrong. The checker (`ClassTable`) finds more.
    package let diagnostics: [InterfaceDiagnostic]

    /// Places in the source where `iig` has to become `h`.
    let renamed: [Range<Int>]
    /// Text that vanishes: classes that extend another one.
    let dropped: [Range<Int>]

    let passed: [PassedClass]

    /// Parses a file. It never fails: errors are in `diagnostics`, and each leaves out one member or one class.
    ///
    /// - Parameter macros: those of the files that it includes, for attributes that hide in a macro.
    package init(parsing source: InterfaceSource, macros: AttributeMacros = AttributeMacros()) {
        var parser = Parser(source, macros: macros)
        parser.parseFile()
        self.source = source
        classes = parser.classes
        inclusions = parser.inclusions
        self.macros = parser.cursor.macros
        diagnostics = parser.diagnostics
        renamed = parser.renamed
        dropped = parser.dropped
        passed = parser.passed
    }
}

/// A class that iig does not see: a structure, a template, or one in a namespace.
struct PassedClass: Sendable {
    let name: String
    let base: String
    let isStructure: Bool
    let offset: Int
}

/// A class of an interface file.
package struct InterfaceClass: Sendable {
    /// Its name.
    package let name: String
    /// The base class, or nil: then it is plain C++ and passes through as it is.
    package let base: String?
    /// KERNEL, NATIVE, LOCALONLY and the like.
    package let attributes: [Attribute]
    /// What stands in the braces, and what `EXTENDS` adds to it.
    package internal(set) var members: [Member]

    /// Words before the name that are no attributes: macros of the developer's own.
    let macros: [Token]
    let isFinal: Bool
    /// The class that this one adds methods to.
    let extended: String?
    let range: Range<Int>
    let nameOffset: Int
    let baseOffset: Int
    let path: [Branch]

    /// Its methods, those that it inherits left out.
    package var methods: [Method] {
        members.compactMap { if case .method(let method) = $0 { method } else { nil } }
    }

    /// Whether nobody outside of the process can call its methods.
    var isLocalOnly: Bool { attributes.contains { $0.name == "LOCALONLY" } }
}

/// What can stand in a class.
package enum Member: Sendable {
    /// A method, whatever becomes of it.
    case method(Method)
    /// Types, constants, templates: passes through. `isCut`: a data member was behind it, and the semicolon is missing.
    case kept(Range<Int>, isCut: Bool = false)
    /// A data member: dropped.
    case field(name: String, offset: Int)
    /// `public`, `protected` or `private`.
    case access(String)
    /// A line of the preprocessor.
    case directive(Directive)
}

/// A method's declaration.
package struct Method: Sendable {
    /// Its name; `operator==` and the like for operators.
    package let name: String
    /// What it returns.
    package let result: [Token]
    /// Its parameters, without `void`.
    package let parameters: [Parameter]
    /// LOCALONLY, TYPE and the like, its parameters' left out.
    package let attributes: [Attribute]
    /// What else stands before or behind: virtual, static, const, override.
    package let words: Set<String>
    /// Whether it ends with `= 0`.
    package let isPure: Bool

    /// All of it but attributes and the end, as written.
    let declaration: [Token]
    /// What follows the parameters, attributes and `override` left out: `const`, `noexcept`, the developer's macros.
    let suffix: [Token]
    /// With the body or the semicolon.
    let range: Range<Int>
    let hasBody: Bool
    let offset: Int
    let path: [Branch]

    var isVirtual: Bool { words.contains("virtual") || isOverride }
    var isOverride: Bool { words.contains("override") || words.contains("final") }
    var isStatic: Bool { words.contains("static") }
    var isConst: Bool { words.contains("const") }

    func attribute(_ name: String) -> Attribute? { attributes.first { $0.name == name } }
}

/// A parameter of a method.
package struct Parameter: Sendable {
    /// Its name, if it has one.
    package let name: String?
    /// TARGET, TYPE and the like.
    package let attributes: [Attribute]
    /// The tokens of its type, on both sides of the name.
    let before: [Token]
    let after: [Token]
    let hasSpaceBeforeName: Bool
    let defaultValue: [Token]
    let offset: Int

    func attribute(_ name: String) -> Attribute? { attributes.first { $0.name == name } }
}

/// What iig reads of a declaration and C++ does not: `TYPE(IOTimerDispatchSource::TimerOccurred)`.
package struct Attribute: Sendable, Equatable {
    /// Without `IIG_`.
    package let name: String
    /// What stands in the parentheses, without spaces.
    package let argument: String?
    let range: Range<Int>

    static let withArgument: Set = ["TYPE", "EXTENDS", "QUEUENAME"]
    static let plain: Set = [
        "KERNEL", "NATIVE", "LOCAL", "LOCALONLY", "REMOTE", "LOCALHOST", "INVOKEREPLY", "REPLY", "INVISIBLE",
        "PORTMAKESEND", "PORTCOPYSEND", "TARGET", "SERIALIZABLE", "CONCRETE",
    ]
}
