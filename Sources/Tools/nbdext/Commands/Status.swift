import ArgumentParser
import ArrayStore
import Platform
import Statistics

/// `nbdext status`.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells what an array is and whether it is well.",
        discussion: """
            If the array is being served, its server is asked, and nobody else. Otherwise the members' superblocks are read, \
            and what serve would do is told. Ends with 0 if all members are there, 1 if the array is degraded, 2 if it cannot \
            be served, and 4 if that cannot be told.
            """)

    @OptionGroup var array: ArrayOptions

    @Flag(help: "Print JSON.")
    var json = false

    /// A server that hangs is not waited for.
    private static let answerMilliseconds = 2000
    /// Nobody can tell how the array is.
    private static let unknown: Int32 = 4

    func run() throws {
        let described: ArrayDescription
        do { described = try answer() ?? ArrayStore.examine(directory: array.directory) } catch {
            writeError(error)
            throw ExitCode(Self.unknown)
        }
        show(json ? described.json.text : described.text(directory: array.directory))
        let code = described.state?.exitCode ?? Self.unknown
        if code != 0 { throw ExitCode(code) }
    }

    /// What the array's server says; nil when there is none that does.
    private func answer() -> ArrayDescription? {
        guard let words = try? array.words("status"),
            let text = try? ControlSocket.send(
                words, to: array.socketPath, limitMilliseconds: Self.answerMilliseconds)
        else { return nil }
        return JSONParser.parse(text).flatMap { ArrayDescription(json: $0) }
    }
}

extension ArrayHealth {
    /// What a command that tells the state ends with; mdadm --detail --test does the same.
    var exitCode: Int32 {
        switch self {
        case .clean: 0
        case .degraded: 1
        case .suspended, .failed: 2
        }
    }
}

extension ArrayDescription {
    /// The array as people read it.
    func text(directory: String) -> String {
        var lines = [
            "array    \(ForeignText(name)) in \(ForeignText(directory))",
            "level    RAID \(level), \(memberCount) members, chunk \(ByteSize(byteCount: chunkByteCount))",
            "size     \(ByteSize(byteCount: byteCount)) (\(byteCount) bytes)",
            "state    \(stateText)",
            serviceLine,
            "uuid     \(uuid)",
        ]
        if level == 5 { lines.insert("policy   \(consistency)", at: 5) }
        if let job { lines.append("job      \(job.text)") }
        for member in members {
            let role = member.role.map(String.init) ?? "-"
            let count = member.correctedReadErrorCount
            let note = count == 0 ? "" : "; \(count) blocks that it could not read were written anew"
            let place = member.path.map { "  \($0)" } ?? ""
            lines.append(ForeignText("member \(role) \(member.state)\(place)\(note)").description)
        }
        return lines.joined(separator: "\n")
    }

    private var serviceLine: String {
        switch service {
        case .served(let process): "served   by process \(process)"
        case .locked:
            "served   by a server that cannot be asked; if its control socket is elsewhere, name it with --control"
        case .possible: "serve    would serve it"
        case .needsForce(let reason): "serve    would serve it with --force only: \(ForeignText(reason))"
        case .refused(let reason): "serve    would refuse it: \(ForeignText(reason))"
        }
    }
}

extension ArrayDescription.Job {
    fileprivate var text: String {
        "\(kind)\(member.map { " of member \($0)" } ?? ""), \(percent) % done"
            + (isRunning ? "" : "; " + (reason.map { "it ended: \($0)" } ?? "it goes on when the array is served"))
    }
}
