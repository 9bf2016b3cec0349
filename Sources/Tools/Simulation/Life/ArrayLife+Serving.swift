import ArrayStore
import MDFormat
import MemberIO
import RAIDControllerInterface
import SCSI

/// Commands, member I/Os and failures in random order, until a crash or a stop.
extension ArrayLife {
    /// Serves until a crash or an orderly stop, or until the life has taken `steps` steps.
    func serve(until steps: Int) throws(SimulationFault) {
        let last = min(steps, step + world.random.number(1...workload.stepsMax))
        while step < last && !world.isDown {
            countStep()
            try takeStep()
            // Crashes are more frequent while a member is half rebuilt.
            if isFilling && world.random.chance(15) { break }
        }
        if !world.isDown && world.random.chance(200) {
            if try stop() { return }
        }
        endAbruptly(powerFails: world.random.chance(700))
    }

    private func takeStep() throws(SimulationFault) {
        breakSomething()
        if workload.damagePerMille > 0 && world.random.chance(workload.damagePerMille) { damageSomething() }
        if world.random.chance(20) { tickBitmap() }
        if workload.snapshotPerMille > 0 && world.random.chance(workload.snapshotPerMille) { keepCopy() }
        if shape.level == .raid5 {
            if world.random.chance(workload.askPerMille) { try askForMaintenance() }
            if world.random.chance(workload.maintainPerMille) { try maintain() }
        }
        let isIdle = operationCount == 0
        let maySend = driver.outstanding < workload.depth
        if maySend && (isIdle || world.random.chance(workload.sendPerMille)) {
            sendSomething()
        } else if !isIdle {
            endSomeOperation()
        }
        // A card that is behind sees several changes at once.
        if world.random.chance(800) || isIdle { try runCard() }
        if driver.outstanding > 0 && isIdle { try checkProgress() }
    }

    /// Checks that no command waits without member I/O under way: it would wait for ever.
    func checkProgress() throws(SimulationFault) {
        try runCard()
        guard !world.isDown, driver.outstanding > 0 else { return }
        if operationCount == 0 {
            throw SimulationFault("\(driver.outstanding) commands wait for nothing")
        }
    }

    /// Does what the server's bitmap thread does every few seconds.
    private func tickBitmap() {
        guard live!.bitmapPeriodSeconds != nil else { return }
        let lane = world.random.pick(lanes)
        if world.random.chance(500) { return card!.work(on: 0, lane: lane) { $0.tickBitmap(on: $1) } }
        crashSoon(100, within: 10)
        card!.work(on: 0, lane: lane) { $0.clearBits(on: $1) }
    }

    // MARK: Failures

    private func breakSomething() {
        if workload.fullPerMille > 0 && world.random.chance(workload.fullPerMille) {
            world.isFull.toggle()
            hasBeenFull = true
            note(world.isFull ? "the disk is full" : "the disk has room")
        }
        guard workload.deathPerMille > 0, world.random.chance(workload.deathPerMille) else { return }
        let number = world.random.below(disks.count)
        if let role = shape.roles.first(where: { members[$0] === disks[number] }) {
            guard mayFail(role) else { return }
            faultyRoles[role] = true
        }
        disks[number].isDead = true
        note("\(disks[number].name) dies")
        // The record of that in the other superblocks may be the last write before a crash.
        if world.random.chance(300) { world.setSynchronousCrash(after: world.random.below(10)) }
    }

    /// The number of member I/Os under way.
    var operationCount: Int { world.channels.reduce(0) { $0 + $1.operations.count } }

    /// Whether a member may fail now. A second failure ends the array, so it is rare. While parity is doubtful, there
    /// must be none.
    func mayFail(_ role: Role) -> Bool {
        guard !array!.needsRepair else { return false }
        return faultyRoles[role] || !faultyRoles.contains(true) || world.random.chance(50)
    }

    /// Ends one member I/O, or does a part of it.
    func endSomeOperation() {
        noteLostRows()
        var position = world.random.below(operationCount)
        let channel = world.channels.first { channel in
            if position < channel.operations.count { return true }
            position -= channel.operations.count
            return false
        }!
        if world.random.chance(50) { return channel.advance(position) }
        let operation = channel.operations[position]
        let role = role(of: operation)
        let fails =
            workload.errorPerMille > 0 && world.random.chance(workload.errorPerMille)
            && (role.map(mayFail) ?? !array!.needsRepair)
        let status = channel.end(position, fails ? .error : .proper)
        history.add(
            .memberIO(operation.io.kind, operation.io.place, rows: rows(operation.io), status), step: step)
        noteHealing(operation, status)
        switch status {
        case .done, .unreadable: break
        // An I/O to a member that was replaced meanwhile says nothing of its successor.
        case .failed:
            if let role, operation.member === members[role] { faultyRoles[role] = true }
            if role == nil { hasReplacementFailed = true }
            // Perhaps no superblock is left that could record that the member missed this write.
            markSuspect(operation.io)
        case .noSpace, .refused: markSuspect(operation.io)
        }
    }

    // MARK: Commands

    private func sendSomething() {
        let kind: SimulatedDriver.Kind =
            switch world.random.below(100) {
            case 0..<45: .write
            case 45..<65: .read
            case 65..<74: .writeThrough
            case 74..<84: .flush
            case 84..<92: .unmap
            default: .writeZeroes
            }
        send(kind, sectors: kind == .flush ? 0..<0 : someSectors())
    }

    private func someSectors() -> Range<Int> {
        let limit = min(shape.sectorCount, SimulatedDriver.dataByteCount / 512)
        var count = world.random.number(1...workload.usualSectorCount)
        // Whole chunks and stripes are planned in their own way, so they are frequent.
        switch world.random.below(10) {
        case 0: count = shape.chunkSectorCount
        case 1: count = shape.stripeSectorCount
        case 2: count = world.random.number(1...limit)
        default: break
        }
        count = min(count, limit)
        let span = world.random.chance(700) ? max(workload.hotSectorCount, count) : shape.sectorCount
        var first = world.random.below(span - count + 1)
        if world.random.chance(300) { first -= first % shape.chunkSectorCount }
        if world.random.chance(150) { first -= first % shape.stripeSectorCount }
        return first..<first + count
    }

    func send(_ kind: SimulatedDriver.Kind, sectors: Range<Int>) {
        let tag = driver.freeTag
        var command = SimulatedDriver.Command(kind: kind, sectors: sectors)
        command.sentAt = world.tick()
        if command.modifies {
            command.modification = nextModification
            if kind == .write || kind == .writeThrough {
                command.write = nextModification
                for sector in sectors {
                    Stamp.fill(
                        driver.memory(tag) + (sector - sectors.lowerBound) * 512, write: command.write,
                        sector: sector)
                }
            }
            nextModification += 1
            model.begin(
                sectors, write: command.write, modification: command.modification, at: command.sentAt,
                oldestRead: driver.oldestRead)
        }
        history.add(.sent(tag: tag, command), step: step)
        driver.send(command, tag: tag)
    }

    /// Runs the card on all lanes, a random one first, and takes its answers.
    func runCard() throws(SimulationFault) {
        noteLostRows()
        let start = world.random.below(lanes.count)
        for offset in lanes.indices { _ = card!.run(lane: lanes[(start + offset) % lanes.count]) }
        try learn()
        // After a crash, no answer reaches the driver.
        if world.isDown { return }
        try driver.takeAnswers(take)
    }

    private func take(
        _ tag: Int, _ command: SimulatedDriver.Command, _ answer: RAIDCompletionDescriptor
    ) throws(SimulationFault) {
        let isGood = answer.status == SCSIStatus.good.rawValue && answer.transportError == 0
        history.add(.answered(tag: tag, command, isGood: isGood), step: step)
        let time = world.tick()
        if !isGood && isLost(command) { tally[.mediumErrors] += 1 }
        if !isGood && !mayFail(command) {
            throw SimulationFault(
                "\(command.kind.rawValue) failed, though the array can do without what has failed: sense "
                    + "\(answer.sense[2])/\(answer.sense[12])/\(answer.sense[13])",
                sector: command.kind == .flush ? nil : command.sectors.lowerBound)
        }
        switch command.kind {
        case .flush:
            lastFlushWasGood = isGood
            if isGood { model.flushed(since: command.sentAt, at: time) }
        case .read: if isGood { try checkRead(tag, command) }
        case .write, .writeThrough, .unmap, .writeZeroes:
            model.end(
                command.sectors, modification: command.modification, at: time, isDone: isGood,
                isDurable: command.kind == .writeThrough)
        }
    }

    /// Whether a command has a reason to fail.
    private func mayFail(_ command: SimulatedDriver.Command) -> Bool {
        let survivable = shape.level.redundancy
        return hasBeenFull || faultyRoles.count(where: { $0 }) > survivable || isLost(command)
    }

    private func checkRead(_ tag: Int, _ command: SimulatedDriver.Command) throws(SimulationFault) {
        for (index, sector) in command.sectors.enumerated() {
            let write = Stamp.write(in: driver.memory(tag) + index * 512, sector: sector)
            guard let write, model.mayRead(write, sector: sector, since: command.sentAt) else {
                throw SimulationFault(
                    "a read of sector \(sector) brought \(write.map { "write \($0)" } ?? "what nobody wrote"); it may "
                        + "hold \(model.describe(sector))", sector: sector)
            }
        }
    }
}
