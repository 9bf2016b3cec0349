import Statistics

/// The shape of a description in JSON, which `status --json` shows. Every key is there; values that are missing are
/// null.
extension ArrayDescription: Codable {
    private enum CodingKeys: String, CodingKey {
        case name, uuid, level
        case memberCount = "members"
        case chunkByteCount = "chunk"
        case byteCount = "size"
        case state, consistency, events, service, reason, process, job
        case members = "member_list"
    }

    /// - Throws: `DecodingError`.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let state = try values.decode(String.self, forKey: .state)
        let words = state == "dirty" ? ["clean", "dirty"] : state.split(separator: ", ").map(String.init)
        self.init(
            name: try values.decode(String.self, forKey: .name), uuid: try values.decode(String.self, forKey: .uuid),
            level: try values.decode(Int.self, forKey: .level),
            memberCount: try values.decode(Int.self, forKey: .memberCount),
            chunkByteCount: try values.decode(UInt64.self, forKey: .chunkByteCount),
            byteCount: try values.decode(UInt64.self, forKey: .byteCount),
            events: try values.decode(UInt64.self, forKey: .events),
            consistency: try values.decode(String.self, forKey: .consistency),
            state: words.first.flatMap { ArrayHealth(rawValue: $0) }, isDirty: words.contains("dirty"),
            service: try Self.service(in: values), members: try values.decode([Member].self, forKey: .members),
            job: try values.decodeIfPresent(Job.self, forKey: .job))
    }

    private static func service(in values: KeyedDecodingContainer<CodingKeys>) throws -> Service {
        func reason() throws -> String { try values.decode(String.self, forKey: .reason) }
        switch try values.decode(String.self, forKey: .service) {
        case "served": return .served(process: try values.decode(Int.self, forKey: .process))
        case "locked": return .locked
        case "possible": return .possible
        case "force": return .needsForce(try reason())
        case "refused": return .refused(try reason())
        case let word:
            throw DecodingError.dataCorruptedError(forKey: .service, in: values, debugDescription: "it is \(word)")
        }
    }

    /// Writes the shape above.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(name, forKey: .name)
        try values.encode(uuid, forKey: .uuid)
        try values.encode(level, forKey: .level)
        try values.encode(memberCount, forKey: .memberCount)
        try values.encode(chunkByteCount, forKey: .chunkByteCount)
        try values.encode(byteCount, forKey: .byteCount)
        try values.encode(stateText, forKey: .state)
        try values.encode(consistency, forKey: .consistency)
        try values.encode(events, forKey: .events)
        try values.encode(service.word, forKey: .service)
        try values.encode(service.reason, forKey: .reason)
        try values.encode(service.process, forKey: .process)
        try values.encode(job, forKey: .job)
        try values.encode(members, forKey: .members)
    }
}

extension ArrayDescription.Member: Encodable {
    /// Writes every key.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(role, forKey: .role)
        try values.encode(state, forKey: .state)
        try values.encode(path, forKey: .path)
        try values.encode(correctedReadErrorCount, forKey: .correctedReadErrorCount)
    }
}

extension ArrayDescription.Job: Encodable {
    /// Writes every key.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(kind, forKey: .kind)
        try values.encode(member, forKey: .member)
        try values.encode(percent, forKey: .percent)
        try values.encode(isRunning, forKey: .isRunning)
        try values.encode(reason, forKey: .reason)
    }
}

extension ArrayDescription.Service {
    /// The service's name in JSON.
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
}
