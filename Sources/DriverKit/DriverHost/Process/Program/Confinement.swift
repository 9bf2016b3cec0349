import CLinux
import Glibc
import Platform

/// The files that a driver's process may open: programs, libraries, the needs of every program, and nothing else. The
/// Landlock ruleset is made before the process, which only has to accept it.
struct Confinement: ~Copyable {
    /// Negative where the kernel has no Landlock.
    let ruleset: Int32

    /// The directories of the system's programs and libraries, and the files that the C library and the Swift runtime
    /// read. Of `/proc`, Landlock hides what belongs to processes outside.
    private static let readable = [
        "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store", "/etc/ld.so.cache",
        "/etc/ld.so.preload", "/etc/localtime", "/proc", "/sys/devices/system/cpu", "/dev/zero", "/dev/random",
        "/dev/urandom",
    ]

    /// - Parameters:
    ///   - program: the driver's program.
    ///   - files: other files that it may read.
    init(program: String, files: [String] = []) {
        ruleset = nbdext_landlock_ruleset()
        guard ruleset >= 0 else { return }
        for path in Self.readable { _ = nbdext_landlock_allow(ruleset, path, 0) }
        for path in files { _ = nbdext_landlock_allow(ruleset, path, 0) }
        _ = nbdext_landlock_allow(ruleset, "/dev/null", 1)
        // The program may be a wrapper that starts another one, which lies beside it or beside this server.
        for path in [program, "/proc/self/exe"] {
            guard let path = Directory.resolve(path) else { continue }
            _ = nbdext_landlock_allow(ruleset, path, 0)
            allowFiles(in: Directory.parent(of: path)) { Self.isLibrary($0) || Self.isProgram($1) }
            for directory in ProgramFile(path: path).libraryDirectories { allowLibraries(in: directory) }
        }
        let paths = getenv("LD_LIBRARY_PATH").map { String(cString: $0) } ?? ""
        for directory in paths.split(separator: ":") { allowLibraries(in: String(directory)) }
    }

    deinit { if ruleset >= 0 { close(ruleset) } }

    private func allowLibraries(in directory: String) { allowFiles(in: directory) { name, _ in Self.isLibrary(name) } }

    /// Allows libraries and programs only, not the whole directory: the driver's program chooses it, and it may hold an
    /// array.
    private func allowFiles(in directory: String, where isAllowed: (_ name: String, _ path: String) -> Bool) {
        for name in (try? Directory.names(in: directory)) ?? [] where isAllowed(name, directory + "/" + name) {
            _ = nbdext_landlock_allow(ruleset, directory + "/" + name, 0)
        }
    }

    private static func isLibrary(_ name: String) -> Bool { name.hasSuffix(".so") || name.contains(".so.") }

    private static func isProgram(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_mode & S_IXUSR != 0
    }
}
