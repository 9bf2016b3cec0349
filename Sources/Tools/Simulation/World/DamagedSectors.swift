/// The sectors of a medium that cannot be read: any read that touches one fails, and leaves the others as they are.
///
/// What the cache has of such a sector can be read until the medium has to be asked.
///
/// Threads: one.
struct DamagedSectors {
    /// What heals a sector.
    enum Kind {
        /// A write that reaches the medium, as when a disk takes another place for the sector.
        case untilWritten
        /// Nothing: writes seem to go well, and the sector still cannot be read.
        case forEver
        /// Nothing, and writes fail too.
        case unwritable
    }

    private var kinds: [Int: Kind] = [:]
    /// Those of which the cache has something newer.
    private var cached: Set<Int> = []

    /// Whether all can be read, whatever happens to the cache.
    var isEmpty: Bool { kinds.isEmpty }

    func isUnreadable(_ sector: Int) -> Bool { kinds[sector] != nil && !cached.contains(sector) }

    func isUnreadable(_ sectors: Range<Int>) -> Bool { !isEmpty && sectors.contains { isUnreadable($0) } }

    func isUnwritable(_ sectors: Range<Int>) -> Bool { !isEmpty && sectors.contains { kinds[$0] == .unwritable } }

    /// Whether some stay so when they are written.
    func isBeyondHealing(_ sectors: Range<Int>) -> Bool {
        !isEmpty && sectors.contains { kinds[$0].map { $0 != .untilWritten } ?? false }
    }

    /// - Parameter isCached: the cache has something of the sector that the medium has not.
    mutating func damage(_ sector: Int, _ kind: Kind, isCached: Bool) {
        kinds[sector] = kind
        if isCached { cached.insert(sector) }
    }

    /// A sector was written, into the cache.
    mutating func wrote(_ sector: Int) {
        if kinds[sector] != nil { cached.insert(sector) }
    }

    /// What was written to a sector has reached the medium.
    mutating func reachedMedium(_ sector: Int) {
        if kinds[sector] == .untilWritten { kinds[sector] = nil }
        cached.remove(sector)
    }

    /// The cache has a sector no more.
    mutating func forgot(_ sector: Int) { cached.remove(sector) }

    /// A sector can be read again, as it was.
    mutating func mend(_ sector: Int) {
        kinds[sector] = nil
        cached.remove(sector)
    }

    /// Those that no write heals can be read and written again.
    mutating func mendBeyondHealing() {
        for (sector, kind) in kinds where kind != .untilWritten { mend(sector) }
    }

    mutating func mendAll() { self = DamagedSectors() }
}
