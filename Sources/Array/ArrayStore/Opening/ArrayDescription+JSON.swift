import Statistics

/// A description as one JSON object, and back.
extension ArrayDescription {
    /// The description for programs: `status --json`, and the answer on the control socket.
    package var json: JSONValue {
        .object([
            ("name", .string(name)), ("uuid", .string(uuid)), ("level", .count(UInt64(level))),
            ("members", .count(UInt64(memberCount))), ("chunk", .count(chunkByteCount)), ("size", .count(byteCount)),
            ("state", .string(stateText)), ("consistency", .string(consistency)), ("events", .count(events)),
            ("service", .string(service.word)), ("reason", service.reason.map { .string($0) } ?? .null),
            ("process", service.process.map { .count(UInt64($0)) } ?? .null),
            ("job", job?.json ?? .null), ("member_list", .array(members.map(\.json))),
        ])
    }

    /// - Returns: nil when the object is not a description by this version.
    package init?(json: JSONValue) {
        guard let name = json["name"]?.stringValue, let uuid = json["uuid"]?.stringValue,
            let level = json["level"]?.countValue, let memberCount = json["members"]?.countValue,
            let chunk = json["chunk"]?.countValue, let size = json["size"]?.countValue,
            let state = json["state"]?.stringValue, let consistency = json["consistency"]?.stringValue,
            let service = Service(json: json), let members = json["member_list"]?.arrayValue
        else { return nil }
        let words = state == "dirty" ? ["clean", "dirty"] : state.split(separator: ", ").map(String.init)
        self.init(
            name: name, uuid: uuid, level: Int(clamping: level), memberCount: Int(clamping: memberCount),
            chunkByteCount: chunk, byteCount: size, events: json["events"]?.countValue ?? 0, consistency: consistency,
            state: words.first.flatMap { ArrayHealth(rawValue: $0) }, isDirty: words.contains("dirty"),
            service: service,
            members: members.compactMap { Member(json: $0) }, job: json["job"].flatMap { Job(json: $0) })
    }
}

extension ArrayDescription.Member {
    fileprivate var json: JSONValue {
        .object([
            ("role", role.map { .count(UInt64($0)) } ?? .null), ("state", .string(state)),
            ("path", path.map { .string($0) } ?? .null), ("corrected_read_errors", .count(correctedReadErrorCount)),
        ])
    }

    fileprivate init?(json: JSONValue) {
        guard let state = json["state"]?.stringValue else { return nil }
        self.init(
            role: json["role"]?.countValue.map { Int(clamping: $0) }, path: json["path"]?.stringValue, state: state,
            correctedReadErrorCount: json["corrected_read_errors"]?.countValue ?? 0)
    }
}

extension ArrayDescription.Job {
    fileprivate var json: JSONValue {
        .object([
            ("kind", .string(kind)), ("member", member.map { .count(UInt64($0)) } ?? .null),
            ("percent", .count(UInt64(percent))), ("running", .bool(isRunning)),
            ("reason", reason.map { .string($0) } ?? .null),
        ])
    }

    fileprivate init?(json: JSONValue) {
        guard let kind = json["kind"]?.stringValue, let percent = json["percent"]?.countValue,
            let isRunning = json["running"]?.boolValue
        else { return nil }
        self.init(
            kind: kind, member: json["member"]?.countValue.map { Int(clamping: $0) }, percent: Int(clamping: percent),
            isRunning: isRunning, reason: json["reason"]?.stringValue)
    }
}

extension ArrayDescription.Service {
    /// The name of the case in JSON.
    fileprivate var word: String {
        switch self {
        case .served: "served"
        case .locked: "locked"
        case .possible: "possible"
        case .needsForce: "force"
        case .refused: "refused"
        }
    }

    fileprivate var reason: String? {
        switch self {
        case .needsForce(let reason), .refused(let reason): reason
        case .served, .locked, .possible: nil
        }
    }

    fileprivate var process: Int? { if case .served(let process) = self { process } else { nil } }

    fileprivate init?(json: JSONValue) {
        let reason = json["reason"]?.stringValue ?? ""
        switch json["service"]?.stringValue {
        case "served": self = .served(process: Int(clamping: json["process"]?.countValue ?? 0))
        case "locked": self = .locked
        case "possible": self = .possible
        case "force": self = .needsForce(reason)
        case "refused": self = .refused(reason)
        default: return nil
        }
    }
}
