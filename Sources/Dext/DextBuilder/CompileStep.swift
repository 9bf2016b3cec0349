import Glibc
import Platform

/// One call of the compiler for one source. It is skipped when nothing has changed that the object depends on.
///
/// Beside the object lie the compiler's list of dependencies (`.d`) and the command of the last call (`.command`).
struct CompileStep: Sendable {
    /// The name in progress lines.
    let title: String
    let source: String
    let object: String
    /// The command, the compiler first, up to the name of the object.
    let command: [String]

    /// - Parameters:
    ///   - title: the name in progress lines.
    ///   - source: absolute.
    ///   - object: absolute.
    ///   - compile: the compiler and its flags, without files.
    init(title: String, source: String, object: String, compile: [String]) {
        self.title = title
        self.source = source
        self.object = object
        command = compile + ["-MD", "-MF", "\(object).d", "-c", source, "-o"]
    }

    /// Whether the object is newer than everything it was made from, and was made by the same command.
    var isUpToDate: Bool {
        guard let made = FileTime.of(object), TextFile.read("\(object).command") == commandText else { return false }
        let dependencies = Self.dependencies(TextFile.read("\(object).d"))
        return !dependencies.isEmpty
            && dependencies.allSatisfy { FileTime.of($0).map { $0 < made } ?? false }
    }

    /// Calls the compiler.
    /// - Returns: its output, untouched, and whether it succeeded.
    func run() throws(OSError) -> (output: String, isDone: Bool) {
        unlink("\(object).command")
        // The object comes whole and at once: another build may use it.
        let fresh = "\(object).\(getpid())"
        let outcome = try ChildProcess.run(command + [fresh])
        guard outcome.status == 0 else { return (outcome.output, false) }
        guard rename(fresh, object) == 0 else { throw OSError(code: errno, doing: "move \(fresh) to \(object)") }
        try TextFile.write(commandText, to: "\(object).command")
        return (outcome.output, true)
    }

    private var commandText: String { command.joined(separator: "\n") }

    /// The files in a rule for make: `object: file file \` with backslashes before spaces and line ends.
    static func dependencies(_ rule: String) -> [String] {
        guard let colon = rule.range(of: ": ") else { return [] }
        var files: [String] = []
        var file = ""
        var isEscaped = false
        for character in rule[colon.upperBound...] {
            if isEscaped {
                isEscaped = false
                if character.isNewline { continue }
                if character != " " && character != "#" { file.append("\\") }
                file.append(character)
            } else if character == "\\" {
                isEscaped = true
            } else if character == " " || character.isNewline {
                if !file.isEmpty { files.append(file.replacing("$$", with: "$")) }
                file = ""
            } else {
                file.append(character)
            }
        }
        if !file.isEmpty { files.append(file.replacing("$$", with: "$")) }
        return files
    }
}

/// The time of a file's last change, to the nanosecond.
struct FileTime: Comparable, CustomStringConvertible {
    private let seconds: Int
    private let nanoseconds: Int

    var description: String { "\(seconds) s \(nanoseconds) ns" }

    /// Nil when there is no such file.
    static func of(_ path: String) -> FileTime? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return FileTime(seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }

    static func < (left: FileTime, right: FileTime) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }
}
