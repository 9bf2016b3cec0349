extension ClassTable {
    /// What is wrong with the classes of a file, beyond its syntax. The file's classes have to be in the table.
    package func check(_ file: InterfaceFile) -> [InterfaceDiagnostic] {
        var checker = Checker(table: self, source: file.source)
        for (second, first) in duplicates where second.source.name == file.source.name {
            checker.error("the class '\(second.type.name)' is defined a second time", at: second.type.nameOffset)
            checker.note("it is defined here", at: first.type.nameOffset, of: first.source)
        }
        for type in file.passed { checker.check(type) }
        for type in file.classes where type.base != nil { checker.check(type) }
        return checker.diagnostics.sorted
    }
}

extension [InterfaceDiagnostic] {
    /// In the order of their places; notes stay with what they explain.
    fileprivate var sorted: [InterfaceDiagnostic] {
        var groups: [[InterfaceDiagnostic]] = []
        for diagnostic in self {
            if diagnostic.severity == .note, !groups.isEmpty {
                groups[groups.count - 1].append(diagnostic)
            } else {
                groups.append([diagnostic])
            }
        }
        let order = groups.enumerated().sorted { one, other in
            (one.element[0].line, one.element[0].column, one.offset)
                < (other.element[0].line, other.element[0].column, other.offset)
        }
        return order.flatMap(\.element)
    }
}

/// Compares a file's classes with all others.
struct Checker {
    let table: ClassTable
    let source: InterfaceSource
    private(set) var diagnostics: [InterfaceDiagnostic] = []

    mutating func error(_ message: String, at offset: Int, fault: String? = nil) {
        diagnostics.append(InterfaceDiagnostic(.error, message, at: offset, of: source, fault: fault))
    }

    mutating func warning(_ message: String, at offset: Int) {
        diagnostics.append(InterfaceDiagnostic(.warning, message, at: offset, of: source))
    }

    mutating func note(_ message: String, at offset: Int, of source: InterfaceSource) {
        diagnostics.append(InterfaceDiagnostic(.note, message, at: offset, of: source))
    }

    init(table: ClassTable, source: InterfaceSource) {
        self.table = table
        self.source = source
    }

    // MARK: Classes

    mutating func check(_ type: PassedClass) {
        guard table.type(type.base)?.base != nil else { return }
        let cure = type.isStructure ? "write 'class'" : "it has to be outside of namespaces and no template"
        error("'\(type.name)' derives from '\(type.base)', which is a class of DriverKit; \(cure)", at: type.offset)
    }

    mutating func check(_ type: InterfaceClass) {
        guard let base = type.base else { return }
        if let known = table.type(base) {
            if known.base == nil && base != "OSMetaClassBase" {
                error("the base class '\(base)' is no class of DriverKit; derive from OSObject", at: type.baseOffset)
            } else if table.isCircular(type.name) {
                error("the base classes of '\(type.name)' form a circle", at: type.baseOffset)
            }
        } else if type.path.contains(where: { !$0.isGuard }) {
            warning(
                "the base class '\(base)' is not known; the compiler fails if the conditional around "
                    + "'\(type.name)' holds",
                at: type.baseOffset)
        } else {
            error(
                "the base class '\(base)' is not known; include the interface file (.iig) that declares it",
                at: type.baseOffset)
        }
        for member in type.members {
            switch member {
            case .method(let method): check(method, in: type)
            case .field(let name, let offset) where name != "ivars" && name != "lvars":
                warning(
                    "the data member '\(name)' is left out of the class, as on macOS; move it to \(type.name)_IVars",
                    at: offset)
            default: break
            }
        }
        checkNames(type)
    }

    /// Two remote methods of a class cannot have the same name: their messages would be the same.
    private mutating func checkNames(_ type: InterfaceClass) {
        var first: [String: [Method]] = [:]
        for method in type.methods where !table.isLocal(method, in: type.name) {
            let other = first[method.name, default: []].first { other in
                !other.path.contains { branch in method.path.contains { $0.excludes(branch) } }
            }
            if let other {
                error("the remote method '\(method.name)' is declared a second time", at: method.offset)
                note("it is declared here", at: other.offset, of: source)
            }
            first[method.name, default: []].append(method)
        }
    }

    private mutating func check(_ method: Method, in type: InterfaceClass) {
        let overridden = table.overridden(by: method, in: type.name)
        if overridden == nil {
            checkSignature(method, in: type)
        } else if let base = overridden {
            checkOverride(method, of: base, in: type)
        }
        checkQueue(method, in: type)
        checkAction(method, overriding: overridden, in: type)
        if method.isPure && !method.isVirtual {
            error("'\(method.name)' is pure and so has to be virtual", at: method.offset)
        }
        if !table.isLocal(method, in: type.name) { checkRemote(method, in: type) }
    }

    // MARK: Overriding

    /// A method that overrides nothing, though it may seem so.
    private mutating func checkSignature(_ method: Method, in type: InterfaceClass) {
        guard table.isComplete(type.name) else { return }
        let inherited = table.inherited(method.name, by: type.name)
        guard let base = inherited.first else {
            if method.isOverride {
                error("'\(method.name)' overrides nothing: no base class has a method of that name", at: method.offset)
            }
            return
        }
        if method.isOverride {
            error("'\(method.name)' has other parameters than the method that it overrides", at: method.offset)
            note("'\(base.name)' is declared here", at: base.method.offset, of: base.source)
        } else if !method.isStatic, !table.isLocal(method, in: type.name),
            !table.isLocal(base.method, in: base.className)
        {
            warning(
                "'\(method.name)' hides '\(base.name)', which has other parameters, and does not override it",
                at: method.offset)
            note("'\(base.name)' is declared here", at: base.method.offset, of: base.source)
        }
    }

    private mutating func checkOverride(
        _ method: Method, of base: ClassTable.MethodReference, in type: InterfaceClass
    ) {
        let isLocal = table.isLocal(base.method, in: base.className)
        let problem: String? =
            if !isLocal, method.attribute("LOCALONLY") != nil || type.isLocalOnly {
                "'\(method.name)' cannot be LOCALONLY, since it overrides a remote method"
            } else if !table.isCompatible(TypeShape(method.result), TypeShape(base.method.result)) {
                "'\(method.name)' returns something else than the method that it overrides"
            } else if method.isConst != base.method.isConst {
                "'\(method.name)' has to be \(base.method.isConst ? "const" : "without const"), as the method that it "
                    + "overrides"
            } else {
                nil
            }
        guard let problem else { return }
        error(problem, at: method.offset)
        note("'\(base.name)' is declared here", at: base.method.offset, of: base.source)
    }

    // MARK: Queues and actions

    private static let taskEntries: Set = ["UserProcessParallelTask", "UserProcessBundledParallelTasks"]

    private mutating func checkQueue(_ method: Method, in type: InterfaceClass) {
        guard let queue = method.attribute("QUEUENAME"), Self.taskEntries.contains(method.name),
            table.isClass(type.name, derivedFrom: "IOUserSCSIParallelInterfaceController")
        else { return }
        error(
            "QUEUENAME cannot be on '\(method.name)', which belongs to the Default queue: macOS panics while it loads "
                + "the driver (B01); remove it",
            at: queue.range.lowerBound, fault: "B01")
    }

    private mutating func checkAction(
        _ method: Method, overriding base: ClassTable.MethodReference?, in type: InterfaceClass
    ) {
        let targets = method.parameters.filter { $0.attribute("TARGET") != nil }
        for parameter in method.parameters {
            for attribute in parameter.attributes where attribute.name == "TARGET" || attribute.name == "TYPE" {
                if parameter.shape.text != "OSAction*" {
                    error(
                        "\(attribute.name) is for a parameter of type 'OSAction *', not '\(parameter.type)'",
                        at: parameter.offset)
                } else if attribute.name == "TYPE" {
                    checkType(attribute, of: nil, on: method, overriding: base, in: type)
                }
            }
        }
        if targets.count > 1 { error("'\(method.name)' has more than one TARGET", at: targets[1].offset) }
        if let attribute = method.attribute("TYPE") {
            if method.isStatic || table.isLocal(method, in: type.name) {
                error(
                    "'\(method.name)' cannot have a TYPE, since only a remote method can be called by an action",
                    at: attribute.range.lowerBound)
                return
            }
            checkType(attribute, of: method, on: method, overriding: base, in: type)
        }
    }

    /// - Parameter handler: the method, if the attribute is its own and not a parameter's.
    private mutating func checkType(
        _ attribute: Attribute, of handler: Method?, on method: Method, overriding base: ClassTable.MethodReference?,
        in type: InterfaceClass
    ) {
        let offset = attribute.range.lowerBound
        if let base {
            error(
                "TYPE cannot be repeated where '\(method.name)' is overridden; iig fails on it. Remove it", at: offset)
            note("'\(base.name)' is declared here", at: base.method.offset, of: base.source)
            return
        }
        let argument = attribute.argument ?? ""
        guard let action = table.action(argument, in: type.name) else {
            let isKnown = argument.split(separator: ":").first.map { table.type(String($0)) != nil } ?? false
            let reason =
                !argument.contains("::") || isKnown
                ? "no such method is known"
                : "its class is not known; include the interface file (.iig) that declares it"
            error("TYPE names '\(argument)': \(reason)", at: offset)
            return
        }
        let problem: String? =
            if table.isLocal(action.method, in: action.className) {
                "TYPE names '\(action.name)', which is LOCALONLY and so is no action's type"
            } else if !action.method.parameters.contains(where: { $0.attribute("TARGET") != nil }) {
                "TYPE names '\(action.name)', which has no parameter marked TARGET and so is no action's type"
            } else if let handler, !table.isCompatible(handler, action.method) {
                "'\(handler.name)' has other parameters than '\(action.name)', which its TYPE names"
            } else {
                nil
            }
        guard let problem else { return }
        error(problem, at: offset)
        note("'\(action.name)' is declared here", at: action.method.offset, of: action.source)
    }

    // MARK: Remote methods

    private mutating func checkRemote(_ method: Method, in type: InterfaceClass) {
        if method.hasBody {
            error(
                "the remote method '\(method.name)' cannot have a body here; write it with IMPL(\(type.name), "
                    + "\(method.name)), or mark it LOCALONLY",
                at: method.offset)
        }
        if let parameter = method.parameters.first(where: \.isVariadic) {
            error("the remote method '\(method.name)' cannot have '...'; mark it LOCALONLY", at: parameter.offset)
        }
        for parameter in method.parameters where parameter.isReference {
            warning(
                "macOS cannot send the reference '\(parameter.declaration())'; use a pointer, or mark '\(method.name)' "
                    + "LOCALONLY",
                at: parameter.offset)
        }
        let result = TypeShape(method.result)
        if result.isBuiltIn && !["void", "int32_t"].contains(result.text) && !method.isOverride {
            warning(
                "the remote method '\(method.name)' can return kern_return_t or nothing; use a pointer for the result, "
                    + "or mark it LOCALONLY",
                at: method.offset)
        }
    }
}

extension ClassTable {
    /// The method that TYPE names: `X::Y`, or `Y` of the same class or of a base class.
    func action(_ name: String, in className: String) -> MethodReference? {
        let words = name.split(separator: ":").map(String.init)
        guard let method = words.last, words.count <= 2 else { return nil }
        let className = words.count == 2 ? words[0] : className
        return (methods(method, of: className) + inherited(method, by: className)).first
    }
}
