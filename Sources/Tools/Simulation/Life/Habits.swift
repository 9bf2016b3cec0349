import Platform

/// What a life is like: how its array is used, and how often things break.
struct Habits {
    /// Times that the array is opened and served, at most.
    var servings: Int
    /// Steps of a serving, at most.
    var stepsMax: Int
    /// Commands at a time, at most.
    var depth: Int
    var laneCount: Int
    /// Of the card's write cache; 0 for none.
    var cacheByteCount: Int
    /// Of a thousand steps, those that send a command rather than end a member I/O.
    var sendPerMille: Int
    /// Of a thousand member I/Os, those that fail.
    var errorPerMille: Int
    /// Of a thousand steps, those at which a member dies.
    var deathPerMille: Int
    /// Of a thousand steps, those at which somebody keeps a copy of a disk.
    var snapshotPerMille: Int
    /// Of a thousand steps, those at which the disk fills up, or is emptied.
    var fullPerMille: Int
    /// Of a thousand steps, those at which some blocks of a member turn unreadable. Not on disks that fill up: healing
    /// believes the parity of rows, and rows of which a part found no space may have none that is right.
    var damagePerMille: Int
    /// Sectors of a block that turns unreadable as a whole.
    var damageSectorCount: Int
    /// Of a thousand steps, those at which a user asks for maintenance.
    var askPerMille: Int
    /// Of a thousand steps, those at which maintenance gets its turn.
    var maintainPerMille: Int
    /// Sectors of the longest command that is usual.
    var usualSectorCount: Int
    /// Where most commands go: sectors, from the array's first one.
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

extension Habits {
    /// For reports.
    var description: String {
        "up to \(depth) commands on \(laneCount) lanes, write cache \(cacheByteCount) bytes, of 1000 member I/Os "
            + "\(errorPerMille) fail"
    }
}
