/// The counts of a life's events.
package struct LifeTally: Sendable {
    /// The events that are counted, with their printed names.
    package enum Event: String, CaseIterable, Sendable {
        case powerLosses = "power losses"
        case processDeaths = "deaths of the process"
        case crashesInRebuild = "of these in a rebuild"
        case rebuildsBegun = "rebuilds"
        case returnsBegun = "members that came back"
        case rebuildsResumed = "resumptions"
        case rebuildsDone = "rebuilds to the end"
        case replacementsBegun = "replacements"
        case crashesInReplacement = "crashes in a replacement"
        case replacementsResumed = "resumptions of a replacement"
        case replacementsRebuilt = "replacements of a member that failed on the way"
        case replacementsDone = "replacements to the end"
        case checks = "checks"
        case repairs = "repairs"
        case damages = "damages of a member"
        case heals = "blocks that were healed"
        case mediumErrors = "commands that failed for blocks without a second copy"
        case rollBacks = "members that turned into older copies of themselves"
        case stops = "orderly stops"
    }

    private var counts = [Int](repeating: 0, count: Event.allCases.count)

    /// How often an event has happened.
    package subscript(event: Event) -> Int {
        get { counts[Event.allCases.firstIndex(of: event)!] }
        set { counts[Event.allCases.firstIndex(of: event)!] = newValue }
    }

    /// Adds the counts of another life.
    package mutating func add(_ other: LifeTally) {
        for index in counts.indices { counts[index] += other.counts[index] }
    }

    /// All crashes: losses of power, and deaths of the process.
    package var crashes: Int { self[.powerLosses] + self[.processDeaths] }
}
