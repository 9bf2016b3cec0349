import ArgumentParser
import ArrayStore
import Statistics

/// `nbdext status`.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells what an array is and whether it is well.",
        discussion: """
            Reads the members' superblocks; the array may be served meanwhile, and is "dirty" then. Its server, if there is \
            one, tells how a job goes and which members could not read blocks.
            """)

    @OptionGroup var array: ArrayOptions

    @Flag(help: "Print JSON.")
    var json = false

    /// A server that is busy with another command is not waited for.
    private static let answerMilliseconds = 2000

    func run() throws {
        let described = try ArrayStore.examine(directory: array.directory)
        let served = try? ControlSocket.statistics(
            from: array.socketPath, limitMilliseconds: Self.answerMilliseconds
        ).arrays.first { $0.name == described.name }
        print(json ? described.json(served) : described.text(served, directory: array.directory))
    }
}

/// A check, a repair, a rebuild or a replacement, as `status` tells of it.
private struct JobStatus {
    var kind: String
    var member: Int?
    var percent: Int
    var isRunning: Bool

    /// What the server does, if there is one, else what is left to do.
    init?(_ array: ArrayStore.Description, _ served: ArraySnapshot?) {
        if let served {
            guard let job = served.job, job.state == .running else { return nil }
            (kind, member, percent, isRunning) = (job.kind, job.member, job.percent, true)
        } else {
            guard let job = array.job else { return nil }
            (kind, member, percent, isRunning) = (job.kind, nil, job.percent, false)
        }
    }

    var text: String {
        "\(kind)\(member.map { " of member \($0)" } ?? ""), \(percent) % done"
            + (isRunning ? "" : "; it goes on when the array is served")
    }

    var json: String {
        "{\"kind\": \"\(kind)\", \"member\": \(member.map(String.init) ?? "null"), \"percent\": \(percent), "
            + "\"running\": \(isRunning)}"
    }
}

extension ArrayStore.Description {
    /// The array as people read it.
    func text(_ served: ArraySnapshot?, directory: String) -> String {
        var lines = [
            "array    \(name) in \(directory)",
            "level    RAID \(level.rawValue), \(memberCount) members, chunk \(ByteSize(byteCount: chunkByteCount))",
            "size     \(ByteSize(byteCount: byteCount)) (\(byteCount) bytes)",
            "state    \(state)",
            "uuid     \(uuid)",
        ]
        if level == .raid5 { lines.insert("policy   \(consistency.rawValue)", at: 4) }
        if let job = JobStatus(self, served) { lines.append("job      \(job.text)") }
        for member in members {
            let role = member.role.map(String.init) ?? "-"
            let count = Self.correctedReadErrorCount(of: member, served)
            let note = count == 0 ? "" : "; \(count) blocks that it could not read were written anew"
            lines.append("member \(role) \(member.state)\(member.path.map { "  \($0)" } ?? "")\(note)")
        }
        return lines.joined(separator: "\n")
    }

    /// Since the server was started.
    private static func correctedReadErrorCount(of member: Member, _ served: ArraySnapshot?) -> UInt64 {
        guard let role = member.role, let members = served?.members, members.indices.contains(role) else { return 0 }
        return members[role].correctedReadErrorCount
    }

    /// The array for programs.
    func json(_ served: ArraySnapshot?) -> String {
        let list = members.map { member in
            "{\"role\": \(member.role.map(String.init) ?? "null"), \"state\": \(JSONValue.quoted(member.state)), "
                + "\"path\": \(member.path.map(JSONValue.quoted) ?? "null"), "
                + "\"corrected_read_errors\": \(Self.correctedReadErrorCount(of: member, served))}"
        }
        return """
            {"name": \(JSONValue.quoted(name)), "uuid": "\(uuid)", "level": \(level.rawValue), "members": \(memberCount), \
            "chunk": \(chunkByteCount), "size": \(byteCount), "state": "\(state)", \
            "consistency": "\(consistency.rawValue)", "events": \(events), \
            "job": \(JobStatus(self, served)?.json ?? "null"), \
            "member_list": [\(list.joined(separator: ", "))]}
            """
    }

    private var memberCount: Int { members.filter { $0.role != nil }.count }
}
