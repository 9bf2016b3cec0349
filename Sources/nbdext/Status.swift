import ArgumentParser
import ArrayStore
import Statistics

/// `nbdext status`.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells what an array is and whether it is well.",
        discussion: "Reads the members' superblocks only; the array may be served meanwhile, and is \"dirty\" then.")

    @Argument(help: "The array's directory.")
    var directory: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let array = try ArrayStore.examine(directory: directory)
        print(json ? array.json : array.text(directory: directory))
    }
}

extension ArrayStore.Description {
    /// The array as people read it.
    func text(directory: String) -> String {
        var lines = [
            "array    \(name) in \(directory)",
            "level    RAID \(level.rawValue), \(memberCount) members, chunk \(ByteSize(byteCount: chunkByteCount))",
            "size     \(ByteSize(byteCount: byteCount)) (\(byteCount) bytes)",
            "state    \(state)",
            "uuid     \(uuid)",
        ]
        if level == .raid5 { lines.insert("policy   \(consistency.rawValue)", at: 4) }
        for member in members {
            let role = member.role.map(String.init) ?? "-"
            lines.append("member \(role) \(member.state)\(member.path.map { "  \($0)" } ?? "")")
        }
        return lines.joined(separator: "\n")
    }

    /// The array for programs.
    var json: String {
        let list = members.map { member in
            "{\"role\": \(member.role.map(String.init) ?? "null"), \"state\": \(JSONValue.quoted(member.state)), "
                + "\"path\": \(member.path.map(JSONValue.quoted) ?? "null")}"
        }
        return """
            {"name": \(JSONValue.quoted(name)), "uuid": "\(uuid)", "level": \(level.rawValue), "members": \(memberCount), \
            "chunk": \(chunkByteCount), "size": \(byteCount), "state": "\(state)", \
            "consistency": "\(consistency.rawValue)", "events": \(events), \
            "member_list": [\(list.joined(separator: ", "))]}
            """
    }

    private var memberCount: Int { members.filter { $0.role != nil }.count }
}
