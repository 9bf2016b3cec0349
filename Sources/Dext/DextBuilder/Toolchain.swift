import Glibc
import Platform

/// The C++ compiler and what a driver is linked with.
package struct Toolchain: Sendable, Equatable {
    /// clang++, absolute.
    package let compiler: String
    /// The runtime of blocks: a library's path, or an option for the linker.
    package let blocksRuntime: String
    /// Whether lld is beside the compiler.
    package let hasLLD: Bool

    private static let oldestVersion = 14
    private static let install = "sudo apt-get install clang lld libblocksruntime-dev"

    /// Finds the Swift toolchain's clang, else the newest one of the system.
    /// - Throws: `OperationError` when there is no compiler or no runtime of blocks, with the way to install it.
    package static func find() throws(OperationError) -> Toolchain {
        let directories = ChildProcess.searchPath
        let swift = directories.lazy.compactMap { Directory.resolve("\($0)/swift") }.first.map(Directory.parent)
        if let swift, let compiler = executable("\(swift)/clang++") {
            let runtime = "\(Directory.parent(of: swift))/lib/swift_static/linux/libBlocksRuntime.a"
            if access(runtime, R_OK) == 0 {
                return Toolchain(
                    compiler: compiler, blocksRuntime: runtime, hasLLD: executable("\(swift)/ld.lld") != nil)
            }
        }
        if let compiler = systemCompiler(in: directories) {
            guard let runtime = systemBlocksRuntime() else {
                throw OperationError("the runtime of blocks is missing; install it: \(install)")
            }
            return Toolchain(
                compiler: compiler, blocksRuntime: runtime,
                hasLLD: directories.contains { executable("\($0)/ld.lld") != nil })
        }
        throw OperationError(
            "there is no clang of version \(oldestVersion) or newer, which a DEXT is compiled with; install it: \(install)"
        )
    }

    /// The path of a library of the compiler's own, or nil when it has none of that name.
    package func library(_ name: String) -> String? {
        guard let answer = try? ChildProcess.run([compiler, "-print-file-name=\(name)"]) else { return nil }
        return Directory.resolve(String(answer.output.prefix { $0 != "\n" }))
    }

    /// The first clang++ of the search path that is new enough, else the newest one with its version in its name.
    private static func systemCompiler(in directories: [String]) -> String? {
        let names = ["clang++"] + (oldestVersion...40).reversed().map { "clang++-\($0)" }
        for name in names {
            for directory in directories {
                if let compiler = executable("\(directory)/\(name)"), isNewEnough(compiler) { return compiler }
            }
        }
        return nil
    }

    private static func isNewEnough(_ compiler: String) -> Bool {
        guard let answer = try? ChildProcess.run([compiler, "-dumpversion"]) else { return false }
        return Int(answer.output.prefix { $0.isNumber }).map { $0 >= oldestVersion } ?? false
    }

    private static func systemBlocksRuntime() -> String? {
        let names = ((try? Directory.names(in: "/usr/lib")) ?? []).filter { $0.hasSuffix("-linux-gnu") }.sorted()
        for directory in ["/usr/lib", "/usr/local/lib"] + names.map({ "/usr/lib/\($0)" }) {
            // Debian's static library cannot become a part of a shared one: it is not position-independent.
            for ending in ["so", "a"] {
                let path = "\(directory)/libBlocksRuntime.\(ending)"
                if access(path, R_OK) == 0 { return path }
            }
        }
        return nil
    }

    private static func executable(_ path: String) -> String? { access(path, X_OK) == 0 ? path : nil }
}
