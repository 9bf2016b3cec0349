/// All classes that are known: those of the kit's interface files and those of the driver's.
package struct ClassTable: Sendable {
    struct Entry: Sendable {
        let type: InterfaceClass
        let source: InterfaceSource
    }

    /// A method, and the class that has it.
    package struct MethodReference: Sendable {
        /// The class's name.
        package let className: String
        /// The method, as that class declares it.
        package let method: Method
        let source: InterfaceSource

        /// Its name in full: `IOService::Start`.
        package var name: String { "\(className)::\(method.name)" }
    }

    private var entries: [String: Entry] = [:]
    /// Classes that are defined again, beside the first.
    private(set) var duplicates: [(second: Entry, first: Entry)] = []

    /// Knows the classes of some files, whatever their order.
    package init(_ files: [InterfaceFile]) {
        for file in files {
            for type in file.classes {
                let entry = Entry(type: type, source: file.source)
                guard let first = entries[type.name] else {
                    entries[type.name] = entry
                    continue
                }
                let isAlternative =
                    first.source.name == file.source.name
                    && type.path.contains { branch in first.type.path.contains { $0.excludes(branch) } }
                if !isAlternative { duplicates.append((entry, first)) }
            }
        }
    }

    func entry(_ name: String) -> Entry? { entries[name] }

    /// A class by its name.
    package func type(_ name: String) -> InterfaceClass? { entries[name]?.type }

    /// The header that declares a class, as it is included, without brackets.
    package func header(of name: String) -> String? { entries[name]?.source.header }

    /// The base classes of a class, the nearest first, as far as they are known. None if they form a circle.
    package func bases(of name: String) -> [String] {
        var names: [String] = []
        var base = entries[name]?.type.base
        while let next = base, entries[next] != nil {
            if names.contains(next) { return [] }
            names.append(next)
            base = entries[next]?.type.base
        }
        return names
    }

    /// Whether a class's base classes form a circle.
    func isCircular(_ name: String) -> Bool {
        guard let base = entries[name]?.type.base, entries[base] != nil else { return false }
        return bases(of: name).isEmpty
    }

    /// Whether one class is another, or derives from it.
    package func isClass(_ name: String, derivedFrom base: String) -> Bool {
        name == base || bases(of: name).contains(base)
    }

    /// Whether the table has all of a class's base classes, up to one without a base.
    func isComplete(_ name: String) -> Bool {
        guard let last = ([name] + bases(of: name)).last else { return false }
        return entries[last].map { $0.type.base == nil } ?? false
    }

    // MARK: Methods

    /// The methods with a name in the base classes of a class, the nearest first.
    func inherited(_ name: String, by className: String) -> [MethodReference] {
        bases(of: className).flatMap { methods(name, of: $0) }
    }

    /// The methods with a name that a class itself declares.
    func methods(_ name: String, of className: String) -> [MethodReference] {
        guard let entry = entries[className] else { return [] }
        return entry.type.methods.filter { $0.name == name }
            .map { MethodReference(className: className, method: $0, source: entry.source) }
    }

    /// What a method overrides in the nearest base class that has it; nil if it is new.
    func overridden(by method: Method, in className: String) -> MethodReference? {
        guard !method.isStatic else { return nil }
        return inherited(method.name, by: className).first { base in
            base.method.isVirtual && isCompatible(method, base.method)
                && (method.isOverride || isLocal(base.method, in: base.className)
                    || !isMarkedLocal(method, in: className))
        }
    }

    /// Where a method was declared first: the class that names it.
    func origin(of method: Method, in className: String) -> (className: String, method: Method) {
        guard let base = overridden(by: method, in: className) else { return (className, method) }
        return origin(of: base.method, in: base.className)
    }

    /// Whether a method is plain C++: LOCALONLY, or the override of such a one.
    func isLocal(_ method: Method, in className: String) -> Bool {
        if isMarkedLocal(method, in: className) { return true }
        guard let base = overridden(by: method, in: className) else { return false }
        return isLocal(base.method, in: base.className)
    }

    private func isMarkedLocal(_ method: Method, in className: String) -> Bool {
        guard let type = entries[className]?.type else { return true }
        return type.base == nil || type.isLocalOnly || method.attribute("LOCALONLY") != nil
            || method.hasBody && !method.isVirtual || method.name.hasPrefix("operator")
    }

    /// Whether two methods may have the same parameters. What a typedef stands for only the compiler knows.
    func isCompatible(_ method: Method, _ other: Method) -> Bool {
        method.parameters.count == other.parameters.count
            && zip(method.parameters, other.parameters).allSatisfy { isCompatible($0.shape, $1.shape) }
    }

    func isCompatible(_ shape: TypeShape, _ other: TypeShape) -> Bool {
        shape.text == other.text || !isCertain(shape) || !isCertain(other)
    }

    private func isCertain(_ shape: TypeShape) -> Bool { shape.isBuiltIn || entries[shape.word] != nil }

    // MARK: Pure virtual methods

    /// The pure virtual methods of the base classes that neither a class nor one between implements, in the order of
    /// their declarations, the outermost base class first.
    ///
    /// macOS starts such a class nevertheless; the start fails when the kernel calls the method. Methods with a TARGET
    /// parameter are left out: they are an action's type, and whoever sends the action has them. So are those marked
    /// KERNEL. Not every one is fatal: user clients rarely implement `IOUserClient::CopyClientMemoryForType`.
    package func missingPureVirtuals(of className: String) -> [MethodReference] {
        let lineage = [className] + bases(of: className)
        return lineage.indices.reversed().flatMap { place in
            (entries[lineage[place]]?.type.methods ?? []).compactMap { method in
                guard method.isPure, method.attribute("KERNEL") == nil,
                    !method.parameters.contains(where: { $0.attribute("TARGET") != nil }),
                    let source = entries[lineage[place]]?.source
                else { return nil }
                let isImplemented = lineage[..<place].contains { name in
                    methods(method.name, of: name).contains { isCompatible($0.method, method) && !$0.method.isPure }
                }
                let isRepeated = lineage[(place + 1)...].contains { name in
                    methods(method.name, of: name).contains { isCompatible($0.method, method) && $0.method.isPure }
                }
                if isImplemented || isRepeated { return nil }
                return MethodReference(className: lineage[place], method: method, source: source)
            }
        }
    }

    /// Whether C++ itself refuses objects of a class: a local pure virtual method is left.
    func isAbstract(_ className: String) -> Bool {
        missingPureVirtuals(of: className).contains { isLocal($0.method, in: $0.className) }
    }
}
