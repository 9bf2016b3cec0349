import MemberIO

/// The last events of a simulation, for the report of a fault.
///
/// Threads: one.
struct History {
    enum Event {
        case sent(tag: Int, SimulatedDriver.Command)
        case answered(tag: Int, SimulatedDriver.Command, isGood: Bool)
        /// `rows` is empty for flushes and metadata.
        case memberIO(MemberIO.Kind, Place, rows: Range<Int>, MemberStatus)
        case note(String)
    }

    private static let capacity = 4096
    private var events: [(step: Int, event: Event)] = []
    private var next = 0

    mutating func add(_ event: Event, step: Int) {
        if events.count < Self.capacity {
            events.append((step, event))
        } else {
            events[next] = (step, event)
            next = (next + 1) % Self.capacity
        }
    }

    /// The last events, oldest first: those that concern a sector or its row, flushes and notes; without a sector,
    /// notes only.
    func lines(sector: Int?, shape: ArrayShape, limit: Int) -> [String] {
        let row = sector.map { shape.place(of: $0).row }
        let ordered = events[next...] + events[..<next]
        return ordered.filter { Self.concerns($0.event, sector, row) }.suffix(limit).map { step, event in
            "  step \(step): \(Self.text(event))"
        }
    }

    private static func concerns(_ event: Event, _ sector: Int?, _ row: Int?) -> Bool {
        guard let sector, let row else {
            if case .note = event { return true }
            return false
        }
        return switch event {
        case .sent(_, let command), .answered(_, let command, _):
            command.kind == .flush || command.sectors.contains(sector)
        case .memberIO(_, _, let rows, _): rows.isEmpty || rows.contains(row)
        case .note: true
        }
    }

    private static func text(_ event: Event) -> String {
        switch event {
        case .sent(let tag, let command): "command \(tag) sent: \(text(command))"
        case .answered(let tag, let command, let isGood):
            "command \(tag) answered \(isGood ? "GOOD" : "with an error"): \(text(command))"
        case .memberIO(let kind, let place, let rows, let status):
            "place \(place): \(kind) of rows \(rows.lowerBound)..<\(rows.upperBound): \(status)"
        case .note(let text): text
        }
    }

    private static func text(_ command: SimulatedDriver.Command) -> String {
        command.kind == .flush
            ? "flush"
            : "\(command.kind.rawValue) of sectors \(command.sectors.lowerBound)..<\(command.sectors.upperBound)"
                + (command.modifies ? ", content \(command.write)" : "")
    }
}
