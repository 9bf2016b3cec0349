import ArrayEngine
import ArrayStore
import MDFormat
import Platform
import RAID
import Statistics

/// Rebuilds, checks and repairs, and users' commands while the array is served.
extension ArrayLife {
    /// The most disks besides one for each role.
    private static let spareMax = 3
    /// The most turns that maintenance may take to come to its end, with nothing else going on.
    private static let turnMax = 4000

    // MARK: The maintenance thread

    /// Takes one turn of the array's maintenance thread.
    func maintain() throws(SimulationFault) {
        world.passTime()
        let isTakingSpare = array!.hasSpare && !array!.failedMembers.isEmpty
        if (isFilling || isTakingSpare) && world.random.chance(isTakingSpare ? 100 : 15) {
            world.setSynchronousCrash(after: world.random.below(40))
        }
        _ = card!.work(on: 0, lane: lanes[lanes.count - 1]) { $0.maintain(on: $1, now: world.nanoseconds) }
        try learn()
        learnProgress()
        if !world.isDown && job != nil { try checkJob() }
    }

    /// Checks the job that was asked for. An array with all its members has right parity at any moment, so no job may
    /// find an error.
    private func checkJob() throws(SimulationFault) {
        guard let snapshot = card!.snapshot(array: 0).job, let job, snapshot.number >= job.number else {
            throw SimulationFault("a job was forgotten")
        }
        guard snapshot.number == job.number else {
            // A failed member has ended the job, and a rebuild has begun since.
            self.job = nil
            return
        }
        if snapshot.wrongByteCount > 0 {
            let place = snapshot.wrongPlaces[0]
            throw SimulationFault(
                "a \(snapshot.kind) found \(snapshot.wrongByteCount) bytes of wrong parity, at byte "
                    + "\(place.memberByteOffset) of member \(place.member)", sector: Int(place.arrayByteOffset / 512))
        }
        switch snapshot.state {
        case .running: return
        case .done: tally[job.kind == .check ? .checks : .repairs] += 1
        case .failed where !faultyRoles.contains(true) && !hasLostRows:
            throw SimulationFault("a \(snapshot.kind) failed without a reason")
        case .noSpace where !hasBeenFull: throw SimulationFault("a \(snapshot.kind) had no space without a reason")
        default: break
        }
        self.job = nil
    }

    /// Runs maintenance until it is idle, with no command under way.
    /// - Returns: false after a crash.
    func finishMaintenance() throws(SimulationFault) -> Bool {
        for _ in 0..<Self.turnMax {
            world.passTime()
            let pause = card!.work(on: 0, lane: lanes[lanes.count - 1]) { $0.maintain(on: $1, now: world.nanoseconds) }
            try learn()
            if world.isDown { return false }
            learnProgress()
            if job != nil { try checkJob() }
            if operationCount == 0 && pause == .idle { return true }
            // Maintenance tries again every minute: it will not become idle.
            if operationCount == 0, case .until = pause, hasLostRows { return true }
            if operationCount > 0 { endSomeOperation() }
            try runCard()
            if world.isDown { return false }
        }
        throw SimulationFault("maintenance does not come to an end")
    }

    /// Whether idle maintenance has no work left: no disk to rebuild onto, and no doubtful parity.
    private func isDone(_ array: OpenedArray) -> Bool {
        switch array.failedMembers.count {
        case 0: !array.needsRepair && array.replacementState == nil
        case 1: array.recoveringMember == nil && (!array.hasSpare || isSomeSpareDead)
        default: true
        }
    }

    private var isSomeSpareDead: Bool {
        disks.indices.contains { disks[$0].isDead && knowledge.disks[$0].may.contains(.spare) }
    }

    func checkNothingIsLeft() throws(SimulationFault) {
        guard let array, faultyRoles.count(where: { $0 }) <= 1, !hasLostRows, !isDone(array) else { return }
        throw SimulationFault("maintenance has come to rest, and has something left to do")
    }

    // MARK: Users

    /// Does what one of `nbdext add`, `fail`, `remove`, `check`, `repair`, `replace` and `cancel` does.
    func askForMaintenance() throws(SimulationFault) {
        if isLost || world.random.chance(50) { return try askForTheForbidden() }
        switch world.random.below(13) {
        case 0...2: try addSpare()
        case 3: try failMember()
        case 4: removeSomething()
        case 5...6: try begin(.check)
        case 7: try begin(.repair)
        case 8...10: try replaceMember()
        default: try cancel()
        }
        try learn()
    }

    private func addSpare() throws(SimulationFault) {
        guard let number = diskToAdd() else { return }
        if world.random.chance(300) { rollBack(number) }
        note("\(disks[number].name) is added")
        // `nbdext add` removes a failed member first, too.
        _ = try? array!.remove { [name = disks[number].name] in $0.path == name }
        knowledge.disks[number].may.insert(.spare)
        crashSoon(200, within: 6)
        var addition = OpenedArray.Addition.spare
        do throws(ArrayStoreError) { addition = try array!.add(disks[number]) } catch {
            guard world.isDown || hasSeenFailure(number) else {
                throw SimulationFault("a spare was refused without a reason: \(error)")
            }
            if !world.isDown {
                knowledge.disks[number].may = .out
                return note("refused: \(error)")
            }
        }
        if world.isDown { return }
        knowledge.disks[number].may = addition == .spare ? .spare : .out
        if addition == .returning { returning.insert(number) }
        live!.lookForSpare()
    }

    /// Whether a disk's superblock records the failure of a member that serves. That disk may be newer than the member,
    /// so it is not made a spare.
    private func hasSeenFailure(_ number: Int) -> Bool {
        guard let own = superblock(on: disks[number]), let array else { return false }
        let missing = array.failedMembers
        return zip(shape.roles, array.members).contains { role, member in
            guard let member, !missing.contains(role) else { return false }
            return own.role(ofDevice: member.superblock.deviceNumber) == MDSuperblock.roleFaulty
        }
    }

    /// Picks a disk that is not in the array: a new one, or one that was in it.
    private func diskToAdd() -> Int? {
        let states = array!.memberStates
        let old = disks.indices.filter { number in
            let disk = disks[number]
            guard !disk.isDead, !knowledge.disks[number].isAbsent, knowledge.disks[number].may == .out else {
                return false
            }
            return states.allSatisfy { $0.path != disk.name || $0.condition == .failed }
        }
        let isNewPossible = disks.count < shape.memberCount + Self.spareMax && !world.isFull
        if !old.isEmpty && (!isNewPossible || world.random.chance(600)) { return world.random.pick(old) }
        guard isNewPossible else { return nil }
        let disk = SimulatedMember(
            name: "member \(disks.count)", byteCount: shape.plan.memberByteCount, world: world)
        reserveMetadata(of: disk)
        disks.append(disk)
        knowledge.disks.append(Knowledge.Disk(may: .out))
        return disks.count - 1
    }

    private func failMember() throws(SimulationFault) {
        let role = Role(index: world.random.below(members.count))
        guard mayFail(role) else { return }
        let others = array!.failedMembers.filter { $0 != role }
        let hasFailed = array!.memberStates.contains { $0.role == role && $0.condition == .failed }
        note("member \(role) is to fail")
        crashSoon(300, within: 10)
        do throws(OperationError) {
            try live!.fail(role: role)
            faultyRoles[role] = true
        } catch {
            if others.isEmpty && !hasFailed { throw SimulationFault("no reason to refuse: \(error)") }
        }
    }

    private func removeSomething() {
        let candidates = array!.memberStates.filter {
            $0.path != nil && ($0.condition == .failed || $0.condition == .spare)
        }
        guard !candidates.isEmpty else { return }
        let state = world.random.pick(candidates)
        let number = disks.firstIndex { $0.name == state.path }!
        note("\(disks[number].name) is removed")
        crashSoon(200, within: 6)
        knowledge.disks[number].may.insert(.out)
        // An error is ignored: the next I/O to a survivor that cannot be written finds it.
        _ = try? array!.remove { $0 == state }
        if !world.isDown && !disks[number].isDead && state.condition == .spare { knowledge.disks[number].may = .out }
    }

    private func begin(_ kind: MaintenanceSchedule.Job) throws(SimulationFault) {
        guard !array!.needsRepair else { return }
        do throws(OperationError) {
            job = (kind, try live!.begin(kind))
            note("a \(kind.rawValue) begins")
        } catch {
            if job == nil && array!.failedMembers.isEmpty && !isBusy {
                throw SimulationFault("no reason to refuse: \(error)")
            }
        }
    }

    private func cancel() throws(SimulationFault) {
        guard !array!.needsRepair else { return }
        let isReplacing = array!.replacementState != nil
        mayEndReplacement = true
        crashSoon(200, within: 12)
        do throws(OperationError) {
            try live!.cancelJob()
            note("the job is cancelled")
        } catch {
            if job != nil || isReplacing { throw SimulationFault("no reason to refuse: \(error)") }
        }
    }

    /// Sets a crash for one of the next synchronous I/Os, with a probability.
    func crashSoon(_ perMille: Int, within count: Int) {
        if world.random.chance(perMille) { world.setSynchronousCrash(after: world.random.below(count)) }
    }
}
