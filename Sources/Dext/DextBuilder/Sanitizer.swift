import Platform

/// The compiler's checks that a driver can be built with.
package enum Sanitizer: String, Sendable, CaseIterable {
    /// Memory that is used after it was freed, or beyond its end.
    case address
    /// Races between threads.
    case thread
    /// Operations without a defined result.
    case undefined

    /// The flags of each compilation and of the link.
    var flags: [String] {
        let base = ["-fsanitize=\(rawValue)", "-shared-libsan", "-fno-omit-frame-pointer"]
        // These two need run-time type information, which DEXTs are compiled without.
        return self == .undefined ? base + ["-fno-sanitize=vptr,function"] : base
    }

    /// The runtime that has to be in a process before the driver's library.
    /// - Throws: `OperationError` when the compiler does not bring it.
    func runtime(of toolchain: Toolchain) throws(OperationError) -> String {
        let name =
            switch self {
            case .address: "asan"
            case .thread: "tsan"
            case .undefined: "ubsan_standalone"
            }
        let file = "libclang_rt.\(name)-\(Self.architecture).so"
        guard let path = toolchain.library(file) else {
            throw OperationError("\(toolchain.compiler) has no \(file), which --sanitize \(self) needs")
        }
        return path
    }

    #if arch(arm64)
        private static let architecture = "aarch64"
    #else
        private static let architecture = "x86_64"
    #endif
}
