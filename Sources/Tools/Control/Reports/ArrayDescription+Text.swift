import ArrayStore
import Platform
import Statistics

extension ArrayHealth {
    /// The exit code of a command that tells the state, as that of `mdadm --detail --test`.
    package var exitCode: Int32 {
        switch self {
        case .clean: 0
        case .degraded: 1
        case .suspended, .failed: 2
        }
    }
}

extension ArrayDescription {
    /// The description for people: lines without the last one's end.
    package func text(directory: String) -> String {
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
            let note = count == 0 ? "" : "; \(count) blocks that it could not read were rewritten"
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
