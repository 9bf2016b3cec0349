/// Writes the header: the developer's text, with classes that have callers and `_Impl` in the place of his.
struct HeaderGenerator {
    private let file: InterfaceFile
    private(set) var text: GeneratedText

    init(file: InterfaceFile) {
        self.file = file
        text = GeneratedText(from: file.source)
    }

    mutating func generate(_ classes: [GeneratedClass]) {
        text.line("#pragma once")
        text.line("#include <nbdext/Generated.h>")
        text.place(0)
        var position = 0
        let cuts = classes.map { ($0.type.range, $0) } + file.dropped.map { ($0, nil) }
        for (range, generated) in cuts.sorted(by: { $0.0.lowerBound < $1.0.lowerBound }) {
            copy(position..<range.lowerBound)
            if let generated { write(generated) }
            position = range.upperBound
            text.place(position)
        }
        copy(position..<file.source.bytes.count)
        text.endLine()
    }

    /// Copies text of the source; what it includes are headers now.
    private mutating func copy(_ range: Range<Int>) {
        var position = range.lowerBound
        for ending in file.renamed where range.contains(ending.lowerBound) {
            text.copy(position..<ending.lowerBound)
            text.append("h")
            position = ending.upperBound
        }
        text.copy(position..<range.upperBound)
    }

    private mutating func write(_ generated: GeneratedClass) {
        let type = generated.type
        let name = type.name
        let base = type.base ?? ""
        text.place(type.range.lowerBound)
        text.line("struct \(name)_IVars; struct \(name)_LocalIVars;")
        text.place(type.range.lowerBound)
        let words = (type.macros.isEmpty ? [] : [type.macros.joined]) + [name] + (type.isFinal ? ["final"] : [])
        text.line("class \(words.joined(separator: " ")) : public \(base) {")
        text.line("    NBDEXT_CLASS_BODY(\(name), \(base))")
        text.line("public:")
        for member in type.members { writePublic(member, of: generated) }
        text.line("protected:")
        forEachMethod(of: generated) { $0.writeImplementation($1, role: $2) }
        text.line("};")
        forEachMethod(of: generated) { $0.writeArguments($1, role: $2, of: name) }
        text.line("#define \(generated.marker(type.range.lowerBound, file.source))")
    }

    // MARK: In the class

    private mutating func writePublic(_ member: Member, of generated: GeneratedClass) {
        switch member {
        case .access, .field: return
        case .kept(let range, let isCut):
            text.place(range.lowerBound)
            text.append("    ")
            text.copy(range)
            if isCut { text.append(";") }
            text.endLine()
        case .directive(let directive):
            text.place(directive.offset)
            text.line(directive.kind == .include ? renamed(directive) : directive.text)
            if directive.kind == .opens || directive.kind == .turns {
                text.line("#define \(generated.marker(directive.offset, file.source))")
            }
        case .method(let method):
            writePublic(method, role: generated.role(of: method))
        }
    }

    private func renamed(_ directive: Directive) -> String {
        guard let (path, _) = directive.includedFile, path.hasSuffix(".iig") else { return directive.text }
        return directive.text[..<path.endIndex].dropLast(3) + "h" + directive.text[path.endIndex...]
    }

    private mutating func writePublic(_ method: Method, role: GeneratedClass.Role) {
        let result = method.result.joined
        if role == .override { return }
        text.place(method.range.lowerBound)
        switch role {
        case .local where method.hasBody: writeBody(method)
        case .local: text.line("    \(method.declaration.joined);")
        case .staticMethod:
            let parameters = method.parameters.map { parameter in
                parameter.declaration() + (parameter.defaultValue.isEmpty ? "" : " = " + parameter.defaultValue.joined)
            }
            text.line("    static \(result) \(method.name)(\(parameters.joined(separator: ", ")))\(method.suffixText);")
        default:
            text.line("    \(result) \(method.name)(\(method.declaredParameters))\(method.suffixText);")
            if method.attribute("TYPE") != nil {
                text.line("    kern_return_t CreateAction\(method.name)(size_t referenceSize, OSAction **action);")
            }
        }
    }

    /// As written, without attributes.
    private mutating func writeBody(_ method: Method) {
        let attributes = method.attributes + method.parameters.flatMap(\.attributes)
        var position = method.range.lowerBound
        text.append("    ")
        for range in attributes.map(\.range).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            text.copy(position..<range.lowerBound)
            position = range.upperBound
        }
        text.copy(position..<method.range.upperBound)
        text.endLine()
    }

    // MARK: Behind the public part

    /// Visits the methods, each in its conditional.
    private mutating func forEachMethod(
        of generated: GeneratedClass, _ body: (inout HeaderGenerator, Method, GeneratedClass.Role) -> Void
    ) {
        for method in generated.type.methods {
            let role = generated.role(of: method)
            if role == .local || method.isPure { continue }
            let marker = generated.marker(of: method, file.source)
            if let marker { text.line("#ifdef \(marker)") }
            text.place(method.range.lowerBound)
            body(&self, method, role)
            if marker != nil { text.line("#endif") }
        }
    }

    private mutating func writeImplementation(_ method: Method, role: GeneratedClass.Role) {
        let prefix = role == .staticMethod ? "static " : ""
        // The developer's words stand on what is called; where there is no caller, here.
        let suffix = role == .override ? method.suffixText : method.qualifierText
        let result = method.result.joined
        text.line("    \(prefix)\(result) \(method.name)_Impl(\(method.implementationParameters))\(suffix);")
    }

    private mutating func writeArguments(_ method: Method, role: GeneratedClass.Role, of name: String) {
        let parameters = method.implementationParameters
        text.line("#define \(name)_\(method.name)_Args\(parameters.isEmpty ? "" : " " + parameters)")
    }
}
