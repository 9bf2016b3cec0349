/// The number of a remote method: the 64-bit FNV-1a hash of `Class::Method`, with the class that declared it first.
struct MethodIdentifier {
    let name: String

    init(className: String, method: String) { name = "\(className)::\(method)" }

    /// As a literal of C++.
    var literal: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return "0x" + String(repeating: "0", count: 16 - digits.count) + digits + "ULL"
    }
}

extension ClassTable {
    func identifier(of method: Method, in className: String) -> MethodIdentifier {
        let origin = origin(of: method, in: className)
        return MethodIdentifier(className: origin.className, method: origin.method.name)
    }
}
