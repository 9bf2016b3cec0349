/// The unreadable sectors of a medium. A read that touches one fails, and does not change the others.
///
/// A sector that is in the cache can be read until the cache drops it.
///
/// Threads: one.
struct DamagedSectors {
    /// The kinds of damage.
    enum Kind {
        /// A write that reaches the medium heals the sector, as when a disk reallocates it.
        case untilWritten
        /// No write heals the sector; writes seem to succeed, but the sector stays unreadable.
        case forEver
        /// No write heals the sector, and writes fail.
        case unwritable
    }

    private var kinds: [Int: Kind] = [:]
    /// Damaged sectors of which the cache has a newer version.
    private var cached: Set<Int> = []

    /// Whether no sector of the medium is damaged.
    var isEmpty: Bool { kinds.isEmpty }

    func isUnreadable(_ sector: Int) -> Bool { kinds[sector] != nil && !cached.contains(sector) }

    func isUnreadable(_ sectors: Range<Int>) -> Bool { !isEmpty && sectors.contains { isUnreadable($0) } }

    func isUnwritable(_ sectors: Range<Int>) -> Bool { !isEmpty && sectors.contains { kinds[$0] == .unwritable } }

    /// Whether some of the sectors stay damaged when they are written.
    func isBeyondHealing(_ sectors: Range<Int>) -> Bool {
        !isEmpty && sectors.contains { kinds[$0].map { $0 != .untilWritten } ?? false }
    }

    /// - Parameter isCached: the cache has a newer version of the sector.
    mutating func damage(_ sector: Int, _ kind: Kind, isCached: Bool) {
        kinds[sector] = kind
        if isCached { cached.insert(sector) }
    }

    /// Notes a write of a sector into the cache.
    mutating func wrote(_ sector: Int) {
        if kinds[sector] != nil { cached.insert(sector) }
    }

    /// Notes that a sector's cached version has reached the medium.
    mutating func reachedMedium(_ sector: Int) {
        if kinds[sector] == .untilWritten { kinds[sector] = nil }
        cached.remove(sector)
    }

    /// Notes that the cache has dropped a sector.
    mutating func forgot(_ sector: Int) { cached.remove(sector) }

    /// Makes a sector readable again, with its old content.
    mutating func mend(_ sector: Int) {
        kinds[sector] = nil
        cached.remove(sector)
    }

    /// Makes the sectors that no write heals readable and writable again.
    mutating func mendBeyondHealing() {
        for (sector, kind) in kinds where kind != .untilWritten { mend(sector) }
    }

    mutating func mendAll() { self = DamagedSectors() }
}
