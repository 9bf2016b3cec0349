/// What becomes of a class: the parts that the header and the implementation are made of.
struct GeneratedClass {
    let type: InterfaceClass
    let table: ClassTable

    /// What becomes of a method.
    enum Role {
        /// As written.
        case local
        /// `_Impl`, and a caller that calls it at once.
        case staticMethod
        /// A message that this class declares: a caller, and `_Impl` unless it is pure.
        case remote
        /// A message of a base class: `_Impl` only.
        case override
    }

    func role(of method: Method) -> Role {
        if table.isLocal(method, in: type.name) { return .local }
        if method.isStatic { return .staticMethod }
        return table.overridden(by: method, in: type.name) == nil ? .remote : .override
    }

    /// The macro that is defined where the class is, and its members in a conditional.
    func marker(_ offset: Int, _ source: InterfaceSource) -> String {
        "NBDEXT_IN_\(type.name)_\(source.line(of: offset))"
    }

    /// The macro that must be defined where a method's parts are, if it stands in a conditional.
    func marker(of method: Method, _ source: InterfaceSource) -> String? {
        guard let branch = method.path.last, !type.path.contains(where: { $0.group == branch.group }) else {
            return nil
        }
        return marker(branch.offset, source)
    }
}

/// How a method looks in C++.
extension Method {
    /// `_Impl`'s parameters: names as the developer wrote them, or none.
    var implementationParameters: String { parameters.map { $0.declaration() }.joined(separator: ", ") }

    /// The caller's, with default values, in the class.
    var declaredParameters: String {
        let own = parameters.map { parameter in
            parameter.declaration() + (parameter.defaultValue.isEmpty ? "" : " = " + parameter.defaultValue.joined)
        }
        return (own + ["OSDispatchMethod \(lastName) = nullptr"]).joined(separator: ", ")
    }

    /// The caller's, each with a name.
    var namedParameters: String {
        zip(parameters, names).map { $0.declaration(named: $1) }.joined(separator: ", ")
    }

    /// Names for all parameters.
    var names: [String] {
        parameters.enumerated().map { $1.name ?? "nbdext_\($0 + 1)" }
    }

    /// The name of the caller's last parameter, which says whom to call.
    var lastName: String { names.contains("supermethod") ? "nbdext_supermethod" : "supermethod" }

    /// The types of result and parameters, with arrays as arrays.
    var signature: String {
        "nbdext::Signature<" + ([result.joined] + parameters.map(\.type)).joined(separator: ", ") + ">"
    }

    /// What follows the parameters of `_Impl` and the caller.
    var suffixText: String { suffix.isEmpty ? "" : " " + suffix.joined }
    /// The part of it that belongs to the type.
    var qualifierText: String {
        suffix.filter { $0 == "const" || $0 == "noexcept" }.map { " " + $0.text }.joined()
    }
}
