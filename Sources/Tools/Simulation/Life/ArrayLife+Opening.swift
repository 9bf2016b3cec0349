import ArrayEngine
import ArrayStore
import RAID
import RAIDController

/// Opens an array after a crash or a stop, and checks what must be true then.
extension ArrayLife {
    /// Opens the array, again after each crash of its recovery; checks it, and puts it behind a card.
    /// - Returns: false when the array is rightly refused, or its life ends for another reason.
    func reopen() throws(SimulationFault) -> Bool {
        arrive()
        return knowledge.disks.contains { !$0.isAbsent } ? try reopenWithPresent() : false
    }

    private func reopenWithPresent() throws(SimulationFault) -> Bool {
        while true {
            if world.random.chance(150) { world.setSynchronousCrash(after: world.random.below(60)) }
            noteUnreadableBlocks()
            let result = open(force: false)
            if world.isDown {
                endAbruptly(powerFails: world.random.chance(700))
                continue
            }
            switch result {
            case .success(let opened):
                guard try check(opened) else { return false }
                if markDirty(opened) { return true }
                endAbruptly(powerFails: world.random.chance(700))
            case .failure(let refusal): return try judge(refusal)
            }
        }
    }

    /// Decides which disks are present. Dead disks may be back, with their old content.
    private func arrive() {
        for (number, disk) in disks.enumerated() {
            if disk.isDead && world.random.chance(400) {
                disk.isDead = false
                note("\(disk.name) is back")
            }
            if world.random.chance(300) { rollBack(number) }
            knowledge.disks[number].isAbsent = disk.isDead
        }
        if workload.deathPerMille > 0 && world.random.chance(30) {
            let number = world.random.below(disks.count)
            knowledge.disks[number].isAbsent = true
            note("\(disks[number].name) is absent")
        }
    }

    private func open(force: Bool) -> Result<OpenedArray, ArrayStoreError> {
        let present = disks.indices.filter { !knowledge.disks[$0].isAbsent }.map { disks[$0] }
        let environment = ArrayStore.Environment(
            clock: { 1 }, report: { [world] text, _ in world.news.append(text) },
            random: { [world] in world.random.next() }, makeBay: { [world] in SimulatedBay(world: world) })
        defer { noteNews() }
        do throws(ArrayStoreError) {
            return .success(
                try ArrayStore.open(
                    members: present, directory: "the simulation", readOnly: false, force: force, in: environment))
        } catch { return .failure(error) }
    }

    // MARK: Verdicts

    /// Checks that the array was rightly refused, and may let a user do something about it.
    /// - Returns: whether the array can be served after all.
    private func judge(_ refusal: ArrayStoreError) throws(SimulationFault) -> Bool {
        note("refused: \(refusal)")
        world.setSynchronousCrash(after: nil)
        let survivable = shape.level.redundancy
        switch refusal.kind {
        case .tooManyMissing where knowledge.outCountMax > survivable: return false
        // Only spares are present.
        case .refused where knowledge.outCountMax == shape.memberCount: return false
        case .dirtyAndDegraded where shape.level == .raid5 && knowledge.outCountMax > 0 && !knowledge.isClean:
            if knowledge.outCountMax == 1, let number = returnable {
                knowledge.disks[number].isAbsent = false
                note("\(disks[number].name) is brought back")
                return try reopenWithPresent()
            }
            return try force()
        case .dirtyAndDegraded where isDamaged && !knowledge.isClean:
            if world.random.chance(500) { return try force() }
            makeReadable()
            return try reopenWithPresent()
        case .memberIO where world.isFull && refusal.cause?.status == .noSpace:
            world.isFull = false
            return try reopenWithPresent()
        case .memberIO where isDamaged:
            makeReadable()
            return try reopenWithPresent()
        default: throw SimulationFault("the array was refused without a reason: \(refusal)")
        }
    }

    /// Sometimes a disk that may be in sync and is absent without being dead.
    private var returnable: Int? {
        let number = disks.indices.first {
            knowledge.disks[$0].isAbsent && !disks[$0].isDead && knowledge.disks[$0].may.contains(.inSync)
        }
        return number != nil && world.random.chance(500) ? number : nil
    }

    /// Opens a dirty and degraded array by force: it must have everything except what was being written.
    /// - Returns: whether the array is served.
    private func force() throws(SimulationFault) -> Bool {
        guard knowledge.outCount <= 1, knowledge.outCountMax <= 1 else { return false }
        wasForced = true
        switch open(force: true) {
        case .success(let opened):
            guard try check(opened), world.random.chance(700) else { return false }
            return markDirty(opened)
        case .failure(let refusal):
            guard refusal.kind == .memberIO, isDamaged else {
                throw SimulationFault("the array was refused in spite of force: \(refusal)")
            }
            makeReadable()
            return try reopenWithPresent()
        }
    }

    /// Checks an array that was opened: its members, its parity and its content.
    /// - Returns: false when blocks of a missing member that were being written are lost.
    private func check(_ opened: OpenedArray) throws(SimulationFault) -> Bool {
        guard opened.geometry == shape.plan.geometry else { throw SimulationFault("the array has another shape") }
        // By role. The replacement's bay comes behind these, and stays out of this list.
        bays = opened.places.prefix(shape.plan.geometry.memberCount).compactMap { place in
            guard case .endpoint(let endpoint) = place else { return nil }
            return endpoint as? SimulatedBay
        }
        try checkParts(opened)
        findMembers()
        let missing = opened.failedMembers
        if !missing.isEmpty && shape.level == .raid5 && knowledge.isDirty && !wasForced && shape.consistency != .ppl {
            throw SimulationFault("a dirty array without member \(missing[0]) was opened without force")
        }
        try checkParity(of: opened)
        try checkReplacement(of: opened)
        if opened.needsRepair { mendSuspectRows() }
        let isWhole = try checkContent(of: opened)
        if shape.level == .raid5 && missing.isEmpty && !opened.needsRepair {
            for row in isSuspect.indices { isSuspect[row] = false }
        }
        knowledge.isDirty = false
        unreadableBlocks = []
        wasForced = false
        crash = SectorModel.Crash()
        return isWhole
    }

    /// Checks each sector of the array on its members, at the position that `ArrayShape` computes.
    /// - Returns: false when a block of the missing member that was being written is lost.
    private func checkContent(of opened: OpenedArray) throws(SimulationFault) -> Bool {
        var isWhole = true
        let time = world.tick()
        let missing = opened.failedMembers.first
        let recovered = recoveredRows(of: opened)
        for sector in 0..<shape.sectorCount {
            let (member, row) = shape.place(of: sector)
            let isReconstructed = member == missing && row >= recovered
            let write = isReconstructed ? reconstructedWrite(sector, missing: member, row: row) : write(in: sector)
            let isAllowed = write.map { model.mayFind($0, sector: sector, after: crash) } ?? false
            let isComputed = isReconstructed || wasUnreadable(member, row: row)
            if !isAllowed && isComputed && mayBeLost(sector, row: row) {
                isWhole = false
                continue
            }
            guard let write, isAllowed else {
                throw SimulationFault(
                    "sector \(sector) (member \(member), row \(row)) holds \(Self.name(write)); it may hold "
                        + model.describe(sector), sector: sector)
            }
            model.settle(sector, write: write, powerFailed: crash.powerFailed, at: time)
        }
        return isWhole
    }

    /// Whether a sector may be wrong that was computed, since its member is missing or its block was unreadable. With
    /// partial parity logs, only sectors that were being written themselves may be wrong.
    private func mayBeLost(_ sector: Int, row: Int) -> Bool {
        if wasForced { return isSuspect[row] }
        return shape.consistency == .ppl && model.isBeingWritten(sector)
    }

    // MARK: Service

    /// Marks an opened array as dirty, and puts it behind a card.
    /// - Returns: false after a crash.
    private func markDirty(_ opened: OpenedArray) -> Bool {
        knowledge.isClean = false
        let absent = knowledge.disks.indices.filter {
            knowledge.disks[$0].isAbsent
                && !knowledge.disks[$0].may.isDisjoint(with: [.inSync, .recovering, .replacing])
        }
        for number in absent { knowledge.disks[number].may.insert(.out) }
        do throws(ArrayStoreError) { try opened.markDirty() } catch { return false }
        if world.isDown { return false }
        world.setSynchronousCrash(after: nil)
        knowledge.isDirty = shape.level == .raid5
        for number in absent { knowledge.disks[number].may.subtract([.inSync, .recovering, .replacing]) }
        for (number, (part, _)) in parts(of: opened).enumerated() where !knowledge.disks[number].isAbsent {
            if knowledge.disks[number].may.contains(.replacing) { knowledge.disks[number].may = part }
        }
        putBehindCard(opened)
        return true
    }

    private func putBehindCard(_ opened: OpenedArray) {
        array = opened
        let laneCount = workload.laneCount + (shape.level == .raid5 ? 1 : 0)
        let card = RAIDController.simulated(
            over: opened, laneCount: laneCount, writeCacheByteCount: workload.cacheByteCount)
        self.card = card
        live = card.engine.arrays[0]
        lanes = (0..<laneCount).map { _ in
            do { return try card.makeLane() } catch { preconditionFailure("no lane: \(error)") }
        }
        driver.attach(card)
        lostAt = Array(repeating: 0, count: shape.rowCount / Self.blockRowCount)
        damageCount = 0
        unverifiedBlocks = []
        hasReplacementFailed = false
        mayEndReplacement = false
        faultyRoles = members.indices.map { opened.members[$0] == nil }
        hasBeenFull = world.isFull
    }
}
