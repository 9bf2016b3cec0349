import Platform

/// How the array of a life is used, and how often something breaks.
struct Workload {
    /// How often the array is opened and served, at most.
    var servings: Int
    /// The most steps of a serving.
    var stepsMax: Int
    /// The most commands at a time.
    var depth: Int
    var laneCount: Int
    /// The size of the card's write cache; 0 for none.
    var cacheByteCount: Int
    /// Of a thousand steps, those that send a command instead of ending a member I/O.
    var sendPerMille: Int
    /// Of a thousand member I/Os, those that fail.
    var errorPerMille: Int
    /// Of a thousand steps, those at which a member dies.
    var deathPerMille: Int
    /// Of a thousand steps, those at which a copy of a disk is kept.
    var snapshotPerMille: Int
    /// Of a thousand steps, those at which the file system fills up, or has room again.
    var fullPerMille: Int
    /// Of a thousand steps, those at which some blocks of a member become unreadable. Zero when the file system fills
    /// up: healing relies on parity, which may be wrong in rows of which a part found no space.
    var damagePerMille: Int
    /// The sectors of a block that becomes unreadable as a whole.
    var damageSectorCount: Int
    /// Of a thousand steps, those at which a user asks for maintenance.
    var askPerMille: Int
    /// Of a thousand steps, those at which maintenance gets its turn.
    var maintainPerMille: Int
    /// The most sectors of a usual command.
    var usualSectorCount: Int
    /// Most commands go to this many sectors, from the array's first one.
    var hotSectorCount: Int

    init(_ random: inout SeededGenerator, _ shape: ArrayShape) {
        servings = random.number(1...30)
        stepsMax = random.pick([20, 60, 150, 400])
        depth = random.pick([1, 2, 4, 8, 24])
        laneCount = random.number(1...2)
        cacheByteCount = random.chance(500) ? 0 : random.pick([2, 3, 5, 8, 16, 64]) * 4096
        sendPerMille = random.pick([200, 350, 500])
        let isCalm = random.chance(500)
        errorPerMille = isCalm ? 0 : random.pick([0, 1, 5])
        deathPerMille = isCalm ? 0 : random.pick([0, 2, 5])
        fullPerMille = random.chance(850) ? 0 : 20
        damagePerMille = fullPerMille > 0 ? 0 : random.pick([0, 0, 5, 30])
        damageSectorCount = random.pick([1, 8])
        askPerMille = random.pick([0, 10, 30, 100])
        maintainPerMille = random.pick([150, 400, 800])
        snapshotPerMille = random.pick([0, 0, 20])
        usualSectorCount = random.pick([1, 4, 8, shape.chunkSectorCount, shape.stripeSectorCount])
        hotSectorCount = random.pick([shape.chunkSectorCount, shape.stripeSectorCount, shape.sectorCount])
    }
}

extension Workload {
    /// One line for reports.
    var description: String {
        "up to \(depth) commands on \(laneCount) lanes, write cache \(cacheByteCount) bytes, of 1000 member I/Os "
            + "\(errorPerMille) fail"
    }
}
