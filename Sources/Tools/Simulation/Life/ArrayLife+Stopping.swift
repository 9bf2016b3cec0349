import ArrayStore

/// Orderly stops.
extension ArrayLife {
    /// Stops in the order of the server: ends all work, flushes, and closes the array.
    /// - Returns: whether the array is closed; otherwise the caller ends it abruptly.
    func stop() throws(SimulationFault) -> Bool {
        note("stopping")
        world.isFull = false
        guard try drain() else { return false }
        if shape.level == .raid5 {
            if world.random.chance(300) {
                guard try finishMaintenance() else { return false }
                try checkNothingIsLeft()
            }
            live!.suspendMaintenance()
            guard try finishMaintenance() else { return false }
        }
        send(.flush, sectors: 0..<0)
        try runCard()
        guard try drain() else { return false }
        // A flush that failed leaves the array dirty.
        guard lastFlushWasGood else { return false }
        card!.work(on: 0, lane: lanes[0]) { $0.restBitmap(on: $1) }
        guard try drain() else { return false }
        card!.work(on: 0, lane: lanes[0]) { $0.clearBits(on: $1) }
        guard try drain() else { return false }
        try checkAtRest()
        return close()
    }

    /// Checks that the members hold the last writes, while no I/O is under way.
    private func checkAtRest() throws(SimulationFault) {
        guard let array, array.failedMembers.count <= 1 else { return }
        try checkParity(of: array)
        try checkReplacement(of: array)
        let missing = array.failedMembers.first
        let recovered = recoveredRows(of: array)
        for sector in 0..<shape.sectorCount {
            let (member, row) = shape.place(of: sector)
            let write =
                member == missing && row >= recovered
                ? reconstructedWrite(sector, missing: member, row: row) : write(in: sector)
            guard let write, model.mayRead(write, sector: sector, since: .max) else {
                throw SimulationFault(
                    "at rest, sector \(sector) holds \(Self.name(write)); it may hold \(model.describe(sector))",
                    sector: sector)
            }
        }
    }

    /// Ends member I/O until the card has neither I/O nor commands.
    /// - Returns: false after a crash.
    func drain() throws(SimulationFault) -> Bool {
        while driver.outstanding > 0 || operationCount > 0 {
            if operationCount > 0 {
                endSomeOperation()
                try runCard()
            } else {
                try checkProgress()
            }
            if world.isDown { return false }
        }
        return true
    }

    private func close() -> Bool {
        let opened = array!
        knowledge.isDirty = false
        let isRight = !opened.needsRepair
        if world.random.chance(300) { world.setSynchronousCrash(after: world.random.below(12)) }
        var isClosed = true
        do throws(ArrayStoreError) { try opened.markClean() } catch { isClosed = false }
        if world.isDown || !isClosed { return false }
        world.setSynchronousCrash(after: nil)
        knowledge.isClean = isRight
        knowledge.isDirty = !isRight
        tally[.stops] += 1
        note("closed")
        for lane in lanes { card!.releaseLane(lane) }
        letGo()
        // Closed and flushed: a loss of power must not change anything.
        if world.random.chance(700) { endAbruptly(powerFails: true) }
        return true
    }
}
