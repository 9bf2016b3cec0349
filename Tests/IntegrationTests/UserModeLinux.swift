import Foundation
import Testing

/// A real Linux kernel that runs as a process, with the machine's files for its own.
enum UserModeLinux {
    static let isAvailable =
        Shell.has("linux.uml", "insmod") && FileManager.default.fileExists(atPath: "/usr/lib/uml/modules")

    /// Boots a script of the directory `UserModeLinux` as init, and waits until the machine is off.
    /// - Parameter parameters: more words for the kernel's command line.
    static func boot(_ script: String, _ parameters: [String] = []) throws -> Shell.Result {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        return try Shell.run(
            "linux.uml",
            [
                "mem=1200M", "rootfstype=hostfs", "rootflags=/", "rw",
                "init=\(here.appendingPathComponent("UserModeLinux/\(script)").path)", "nbdext=\(nbdext)",
                "libraries=\(runtimeLibraries)", "con=null", "con0=fd:0,fd:1", "con1=null", "quiet",
            ] + parameters)
    }

    /// Where the Swift runtime is that the server was built with.
    private static let runtimeLibraries: String = {
        let swift = URL(fileURLWithPath: Shell.find("swift") ?? "/usr/bin/swift").resolvingSymlinksInPath()
        return swift.deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("lib/swift/linux").path
    }()

    /// Boots a script in which md judges.
    /// - Parameter exchange: the directory through which arrays come and go.
    /// - Returns: by case, what it found.
    static func judge(
        _ script: String, exchange: String, _ parameters: [String] = []
    ) throws -> [String: [String: String]] {
        let result = try boot(script, ["exchange=\(exchange)"] + parameters)
        #expect(result.output.contains("RESULT passed"), "\(result.output.suffix(3000))")
        var findings: [String: [String: String]] = [:]
        for line in result.output.split(whereSeparator: \.isNewline) where line.hasPrefix("JUDGE ") {
            let words = line.split(separator: " ").map(String.init)
            findings[words[1]] = [:]
            for word in words.dropFirst(2) {
                let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { findings[words[1]]?[String(parts[0])] = String(parts[1]) }
            }
        }
        return findings
    }
}
