import ArrayStore
import HardwareBus
import RAID
import RAIDController

/// Opening an array after whatever happened, and what must be true then.
extension ArrayLife {
    /// Opens the array, through crashes of its recovery, checks it, and puts it behind a card.
    /// - Returns: false when the array is rightly refused, or has nothing more to show: the end of its life.
    func reopen() throws(SimulationFault) -> Bool {
        arrive()
        return knowledge.isAbsent.contains(false) ? try reopenWithPresent() : false
    }

    private func reopenWithPresent() throws(SimulationFault) -> Bool {
        while true {
            if world.random.chance(150) { world.setSynchronousCrash(after: world.random.below(60)) }
            let result = open(force: false)
            if world.isDown {
                endAbruptly(powerFails: world.random.chance(700))
                continue
            }
            switch result {
            case .success(let opened):
                guard try check(opened, isForced: false) else { return false }
                if markDirty(opened) { return true }
                endAbruptly(powerFails: world.random.chance(700))
            case .failure(let refusal): return try judge(refusal)
            }
        }
    }

    /// Decides which members are there: dead ones may be back, with what they had.
    private func arrive() {
        for (role, member) in members.enumerated() {
            if member.isDead && world.random.chance(400) {
                member.isDead = false
                note("member \(role) is back")
            }
            knowledge.isAbsent[role] = member.isDead
        }
        if habits.deathPerMille > 0 && world.random.chance(30) {
            let role = world.random.below(members.count)
            knowledge.isAbsent[role] = true
            note("member \(role) is absent")
        }
    }

    private func open(force: Bool) -> Result<OpenedArray, ArrayStoreError> {
        let present = members.indices.filter { !knowledge.isAbsent[$0] }.map { members[$0] }
        let surroundings = ArrayStore.Surroundings(clock: { 1 }, report: { _ in })
        do throws(ArrayStoreError) {
            return .success(
                try ArrayStore.open(
                    members: present, place: "the simulation", readOnly: false, force: force, in: surroundings))
        } catch { return .failure(error) }
    }

    // MARK: Verdicts

    /// The array was refused: was that right?
    /// - Returns: whether it can be served after all.
    private func judge(_ refusal: ArrayStoreError) throws(SimulationFault) -> Bool {
        note("refused: \(refusal)")
        world.setSynchronousCrash(after: nil)
        let survivable = shape.level == .raid5 ? 1 : 0
        switch refusal.kind {
        case .tooManyMissing where knowledge.outCountMax > survivable: return false
        case .dirtyAndDegraded where shape.level == .raid5 && knowledge.outCountMax > 0 && !knowledge.isClean:
            if knowledge.outCountMax == 1, let role = returnable {
                knowledge.isAbsent[role] = false
                note("member \(role) is brought back")
                return try reopenWithPresent()
            }
            return try force()
        case .memberIO where world.isFull:
            world.isFull = false
            return try reopenWithPresent()
        default: throw SimulationFault("the array was refused without a reason: \(refusal)")
        }
    }

    /// A member that is only absent, and may just as well be there.
    private var returnable: Int? {
        let role = members.indices.first { knowledge.isAbsent[$0] && !members[$0].isDead }
        guard let role, !knowledge.isRecorded[role], world.random.chance(500) else { return nil }
        return role
    }

    /// What is left when a dirty and degraded array is opened by force: everything but what was being written.
    private func force() throws(SimulationFault) -> Bool {
        guard knowledge.outCount <= 1, knowledge.outCountMax <= 1 else { return false }
        switch open(force: true) {
        case .success(let opened): _ = try check(opened, isForced: true)
        case .failure(let refusal):
            throw SimulationFault("the array was refused in spite of force: \(refusal)")
        }
        return false
    }

    /// An array was opened: the right members are in it, parity is right, and it holds what it may hold.
    /// - Returns: false when blocks of a missing member are lost that were being written.
    private func check(_ opened: OpenedArray, isForced: Bool) throws(SimulationFault) -> Bool {
        guard opened.geometry == shape.plan.geometry else { throw SimulationFault("the array has another shape") }
        let missing = members.indices.filter { opened.members[$0] == nil }
        for role in members.indices {
            let isOut = missing.contains(role)
            if !isOut && (knowledge.isRecorded[role] || knowledge.isAbsent[role]) {
                throw SimulationFault("member \(role), which is stale, came back as good")
            }
            if isOut && !knowledge.isRecorded[role] && !knowledge.isAbsent[role] && !knowledge.mayBeRecorded[role] {
                throw SimulationFault("member \(role), which is good, was left out")
            }
        }
        if !missing.isEmpty && shape.level == .raid5 && knowledge.isDirty && !isForced && shape.consistency != .ppl {
            throw SimulationFault("a dirty array without member \(missing[0]) was opened without force")
        }
        if missing.isEmpty {
            try checkParity()
            for row in isSuspect.indices { isSuspect[row] = false }
        }
        let isWhole = try checkContent(missing: missing.first, isForced: isForced)
        knowledge.isDirty = false
        crash = SectorModel.Crash()
        for role in members.indices where !missing.contains(role) {
            knowledge.isRecorded[role] = false
            knowledge.mayBeRecorded[role] = false
        }
        return isWhole
    }

    /// Looks at each sector of the array on its members, where this simulation thinks that it is.
    /// - Returns: false when a block of the missing member is lost that was being written.
    private func checkContent(missing: Int?, isForced: Bool) throws(SimulationFault) -> Bool {
        var isWhole = true
        let time = world.tick()
        for sector in 0..<shape.sectorCount {
            let (member, row) = shape.place(of: sector)
            let isReconstructed = member == missing
            if isForced && isReconstructed && isSuspect[row] { continue }
            let write = isReconstructed ? reconstructedWrite(sector, missing: member, row: row) : write(in: sector)
            let isAllowed = write.map { model.mayFind($0, sector: sector, after: crash) } ?? false
            if !isAllowed && isReconstructed && shape.consistency == .ppl && model.isBeingWritten(sector) {
                isWhole = false
                continue
            }
            guard let write else {
                throw SimulationFault(
                    "sector \(sector) (member \(member), row \(row)) holds what nobody wrote; it may hold "
                        + model.describe(sector), sector: sector)
            }
            guard isAllowed else {
                throw SimulationFault(
                    "sector \(sector) (member \(member), row \(row)) holds write \(write); it may hold "
                        + model.describe(sector), sector: sector)
            }
            if !isForced { model.settle(sector, write: write, powerFailed: crash.powerFailed, at: time) }
        }
        return isWhole
    }

    // MARK: Service

    /// - Returns: false after a crash.
    private func markDirty(_ opened: OpenedArray) -> Bool {
        knowledge.isClean = false
        for role in members.indices where opened.members[role] == nil { knowledge.mayBeRecorded[role] = true }
        do throws(ArrayStoreError) { try opened.markDirty() } catch { return false }
        if world.isDown { return false }
        world.setSynchronousCrash(after: nil)
        knowledge.isDirty = shape.level == .raid5
        for role in members.indices { knowledge.isRecorded[role] = opened.members[role] == nil }
        putBehindCard(opened)
        return true
    }

    private func putBehindCard(_ opened: OpenedArray) {
        array = opened
        let card = RAIDController(
            arrays: [ArrayTarget(array: opened)], dart: DART(windowCount: 8, reservedCount: 1), engine: .threads,
            laneCount: habits.laneCount, writeCacheByteCount: habits.cacheByteCount)
        self.card = card
        lanes = (0..<habits.laneCount).map { _ in
            do { return try card.makeLane() } catch { preconditionFailure("no lane: \(error)") }
        }
        channels = members.flatMap(\.channels)
        driver.attach(card)
        faultyRoles = members.indices.map { opened.members[$0] == nil }
        hasBeenFull = world.isFull
    }
}
