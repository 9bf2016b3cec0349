/// Writes the source: callers, descriptions of the classes, and their dispatch.
struct ImplementationGenerator {
    private let file: InterfaceFile
    private let table: ClassTable
    private(set) var text: GeneratedText

    init(file: InterfaceFile, table: ClassTable) {
        self.file = file
        self.table = table
        text = GeneratedText(from: file.source)
    }

    mutating func generate(_ classes: [GeneratedClass]) {
        text.line("#include <\(file.source.header)>")
        for header in headers(for: classes) { text.line("#include <\(header)>") }
        for generated in classes {
            text.line("")
            text.line("#ifdef \(generated.marker(generated.type.range.lowerBound, file.source))")
            writeDescription(of: generated)
            for method in generated.type.methods { writeCaller(method, of: generated) }
            writeDispatch(of: generated)
            text.line("#endif")
        }
    }

    /// Callers have to know the classes of the objects that they pass; the file need only declare them.
    private func headers(for classes: [GeneratedClass]) -> [String] {
        var headers: Set<String> = []
        for generated in classes {
            for method in generated.type.methods where !table.isLocal(method, in: generated.type.name) {
                for token in method.parameters.flatMap({ $0.before }) {
                    if let header = table.header(of: token.text) { headers.insert(header) }
                }
            }
        }
        return headers.subtracting([file.source.header]).sorted()
    }

    private mutating func writeDescription(of generated: GeneratedClass) {
        let name = generated.type.name
        writeList("MethodQueue", named: "\(name)_queues", of: generated) { $0.attribute("QUEUENAME")?.argument }
        writeList("MethodName", named: "\(name)_methods", of: generated) { method in
            generated.role(of: method) == .remote ? "\(name)::\(method.name)" : nil
        }
        let kind = table.isAbstract(name) ? "NBDEXT_ABSTRACT_CLASS_DEFINITION" : "NBDEXT_CLASS_DEFINITION"
        text.line("\(kind)(\(name), \(generated.type.base ?? ""), \(name)_queues, \(name)_methods)")
        text.line("")
    }

    /// A list of methods that have a text.
    private mutating func writeList(
        _ kind: String, named list: String, of generated: GeneratedClass, text value: (Method) -> String?
    ) {
        text.line("static const nbdext::\(kind) \(list)[] = {")
        for method in generated.type.methods {
            guard let value = value(method) else { continue }
            let identifier = table.identifier(of: method, in: generated.type.name)
            inConditional(of: method, generated) {
                $0.text.line("    {\(identifier.literal), \"\(value)\"},  // \(identifier.name)")
            }
        }
        text.line("    {0, nullptr},")
        text.line("};")
    }

    private mutating func inConditional(
        of method: Method, _ generated: GeneratedClass, _ body: (inout ImplementationGenerator) -> Void
    ) {
        let marker = generated.marker(of: method, file.source)
        if let marker { text.line("#ifdef \(marker)") }
        body(&self)
        if marker != nil { text.line("#endif") }
    }

    // MARK: Callers

    private mutating func writeCaller(_ method: Method, of generated: GeneratedClass) {
        let role = generated.role(of: method)
        guard role == .remote || role == .staticMethod else { return }
        inConditional(of: method, generated) { generator in
            generator.text.place(method.range.lowerBound)
            if role == .staticMethod {
                generator.writeStaticCaller(method, of: generated.type.name)
            } else {
                generator.writeRemoteCaller(method, of: generated.type.name)
            }
        }
    }

    private mutating func writeStaticCaller(_ method: Method, of name: String) {
        text.line("auto \(name)::\(method.name)(\(method.namedParameters)) -> \(method.result.joined)")
        text.line("{ return \(method.name)_Impl(\(method.names.joined(separator: ", "))); }")
    }

    private mutating func writeRemoteCaller(_ method: Method, of name: String) {
        let identifier = table.identifier(of: method, in: name)
        let parameters = method.parameters.isEmpty ? "" : method.namedParameters + ", "
        let result = method.result.joined
        let this = method.isConst ? "const_cast<\(name) *>(this)" : "this"
        let target = zip(method.parameters, method.names).first { $0.0.attribute("TARGET") != nil }?.1
        let function = target == nil ? "nbdext::invoke" : "nbdext::invokeTarget"
        let arguments = [this] + (target.map { [$0] } ?? []) + [identifier.literal, method.lastName] + method.names
        let head = "\(name)::\(method.name)(\(parameters)OSDispatchMethod \(method.lastName))\(method.qualifierText)"
        text.line("auto \(head) -> \(result)  // \(identifier.name)")
        text.line("{ return \(function)<\(method.signature)>(\(arguments.joined(separator: ", "))); }")
        guard let argument = method.attribute("TYPE")?.argument, let action = table.action(argument, in: name) else {
            return
        }
        let type = table.identifier(of: action.method, in: action.className)
        let numbers = "\(identifier.literal), \(type.literal)"
        text.line("kern_return_t \(name)::CreateAction\(method.name)(size_t referenceSize, OSAction **action)")
        text.line("{ return nbdext::createAction(this, \(numbers), referenceSize, action); }  // \(type.name)")
    }

    // MARK: Dispatch

    private mutating func writeDispatch(of generated: GeneratedClass) {
        let name = generated.type.name
        let methods = generated.type.methods.filter { method in
            let role = generated.role(of: method)
            return !method.isPure && (role == .remote || role == .override)
        }
        text.line("")
        text.place(generated.type.range.lowerBound)
        text.line("kern_return_t \(name)::_Dispatch(OSMetaClassBase *self, const IORPC rpc)")
        text.line("{")
        if !methods.isEmpty {
            text.line("    switch (rpc.id) {")
            for method in methods {
                let identifier = table.identifier(of: method, in: name)
                let signature = table.origin(of: method, in: name).method.signature
                inConditional(of: method, generated) { generator in
                    generator.text.place(method.range.lowerBound)
                    generator.text.line(
                        "    case \(identifier.literal): return nbdext::deliver<\(signature)>("
                            + "static_cast<\(name) *>(self), &\(name)::\(method.name)_Impl, rpc);  // \(identifier.name)"
                    )
                }
            }
            text.line("    }")
        }
        text.line("    return \(generated.type.base ?? "")::_Dispatch(self, rpc);")
        text.line("}")
    }
}
