/// The number of a remote method: the fingerprint of `Class::Method`, with the class that declared it first.
struct MethodIdentifier {
    let name: String

    init(className: String, method: String) { name = "\(className)::\(method)" }

    /// As a literal of C++.
    var literal: String {
        var fingerprint = Fingerprint()
        fingerprint.add(name.utf8)
        return "0x\(fingerprint.digits)ULL"
    }
}

extension ClassTable {
    func identifier(of method: Method, in className: String) -> MethodIdentifier {
        let origin = origin(of: method, in: className)
        return MethodIdentifier(className: origin.className, method: origin.method.name)
    }
}
