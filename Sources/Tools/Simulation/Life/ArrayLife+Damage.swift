import MDFormat
import MemberIO

/// Blocks of members that become unreadable, and blocks that can be neither read nor computed any more.
extension ArrayLife {
    /// Rows that are healed together: 4 KiB.
    static let blockRowCount = 8
    /// How often blocks may become unreadable in a serving. With one more, all met by the same command, a member that
    /// could be healed would fail, since it does not stay healed.
    private static let damageMax = 2

    /// Makes some blocks of a member unreadable.
    func damageSomething() {
        guard damageCount < Self.damageMax, !array!.needsRepair else { return }
        let number = world.random.below(world.random.chance(800) ? shape.memberCount : disks.count)
        let count = workload.damageSectorCount
        let hotRowCount = min(shape.rowCount, workload.hotSectorCount / shape.columnCount + shape.chunkSectorCount)
        let limit = world.random.chance(700) ? hotRowCount : shape.rowCount
        let first = world.random.below(limit / count) * count
        let rows = first..<min(shape.rowCount, first + count * world.random.pick([1, 1, 2, 8]))
        // A block that becomes unreadable again before it is verified makes the member fail too.
        let blocks = Self.blocks(of: rows)
        guard unverifiedBlocks.isDisjoint(with: blocks) else { return }
        guard !wouldBeLost(number, rows) || world.random.chance(200) else { return }
        damageCount += 1
        let kind = kindOfDamage(number)
        for row in rows { disks[number].image.damage(shape.dataSector + row, kind) }
        tally[.damages] += 1
        note("rows \(rows.lowerBound)..<\(rows.upperBound) of \(disks[number].name) turn unreadable, \(kind)")
    }

    /// A write heals most damage. Other damage makes the member fail, sooner or later.
    private func kindOfDamage(_ number: Int) -> DamagedSectors.Kind {
        let role = shape.roles.first { members[$0] === disks[number] }
        guard role.map(mayFail) ?? true else { return .untilWritten }
        return world.random.pick([.untilWritten, .untilWritten, .untilWritten, .untilWritten, .forEver, .unwritable])
    }

    /// Whether the data of some rows would be lost if a disk could not be read there.
    private func wouldBeLost(_ number: Int, _ rows: Range<Int>) -> Bool {
        guard shape.level == .raid5 else { return true }
        let blocks = Self.blocks(of: rows)
        return shape.roles.contains { role in
            members[role] !== disks[number] && (faultyRoles[role] || blocks.contains { isUnreadable(role, block: $0) })
        }
    }

    private func isUnreadable(_ role: Role, block: Int) -> Bool { isUnreadable(members[role], block: block) }

    private func isUnreadable(_ disk: SimulatedMember, block: Int) -> Bool {
        let first = shape.dataSector + block * Self.blockRowCount
        return disk.image.damaged.isUnreadable(first..<first + Self.blockRowCount)
    }

    private static func blocks(of rows: Range<Int>) -> Range<Int> {
        rows.lowerBound / blockRowCount..<(rows.upperBound - 1) / blockRowCount + 1
    }

    /// Follows blocks that are rewritten and then read again, and notes when the second read must make the member fail.
    func noteHealing(_ operation: SimulatedChannel.Operation, _ status: MemberStatus) {
        let rows = rows(operation.io)
        guard !rows.isEmpty, let member = operation.member else { return }
        let blocks = Self.blocks(of: rows)
        switch (operation.io.kind, status) {
        case (.durableWrite, .done): unverifiedBlocks.formUnion(blocks)
        case (.reread, .done):
            unverifiedBlocks.subtract(blocks)
            tally[.heals] += 1
        case (.reread, .unreadable):
            unverifiedBlocks.subtract(blocks)
            let sectors = rows.lowerBound + shape.dataSector..<rows.upperBound + shape.dataSector
            guard let role = role(of: operation) else { return }
            guard member.image.damaged.isBeyondHealing(sectors), member === members[role] else { return }
            faultyRoles[role] = true
        default: break
        }
    }

    // MARK: Lost blocks

    /// Notes the blocks of rows that cannot be completely read or computed at the moment.
    func noteLostRows() {
        guard members.contains(where: { !$0.image.damaged.isEmpty }) else { return }
        let survivable = shape.level.redundancy
        for block in lostAt.indices {
            let count = shape.roles.count { faultyRoles[$0] || isUnreadable($0, block: block) }
            if count > survivable { lostAt[block] = world.time }
        }
    }

    /// Whether there have been lost blocks since the array was opened.
    var hasLostRows: Bool { lostAt.contains { $0 > 0 } }

    /// Whether a command may have met lost blocks. With a write cache, a command may destage the data of others.
    func isLost(_ command: SimulatedDriver.Command) -> Bool {
        guard workload.cacheByteCount == 0 else { return hasLostRows }
        return command.sectors.contains { lostAt[shape.place(of: $0).row / Self.blockRowCount] >= command.sentAt }
    }

    // MARK: When the array is opened

    /// Whether some disk has unreadable sectors.
    var isDamaged: Bool { disks.contains { !$0.image.damaged.isEmpty } }

    /// Notes the blocks that opening the array may compute from the other members.
    func noteUnreadableBlocks() {
        for (number, disk) in disks.enumerated() where !disk.image.damaged.isEmpty {
            for block in 0..<shape.rowCount / Self.blockRowCount where isUnreadable(disk, block: block) {
                unreadableBlocks.insert([number, block])
            }
        }
    }

    /// Whether a row of a member could not be read when the array began to be opened.
    func wasUnreadable(_ role: Role, row: Int) -> Bool {
        guard !unreadableBlocks.isEmpty, let number = disks.firstIndex(where: { $0 === members[role] }) else {
            return false
        }
        return unreadableBlocks.contains([number, row / Self.blockRowCount])
    }

    /// Lets the array be opened after it was refused for unreadable blocks: a user takes one damaged member away, or
    /// puts in a new cable.
    func makeReadable() {
        let damaged = disks.indices.filter { !knowledge.disks[$0].isAbsent && !disks[$0].image.damaged.isEmpty }
        if shape.level == .raid5, knowledge.outCountMax == 0, !damaged.isEmpty, world.random.chance(500) {
            let number = world.random.pick(damaged)
            knowledge.disks[number].isAbsent = true
            return note("\(disks[number].name) is taken away")
        }
        for disk in disks { disk.image.mendAll() }
        note("all blocks can be read again")
    }

    /// Mends unreadable sectors in rows with doubtful parity, since their blocks would be computed wrong: that is the
    /// write hole. Mends those beyond healing everywhere, since their member would fail, and be computed wrong as a
    /// whole.
    func mendSuspectRows() {
        let suspect = Set(isSuspect.indices.filter { isSuspect[$0] }.map { $0 / Self.blockRowCount })
        for disk in disks where !disk.image.damaged.isEmpty {
            disk.image.mendBeyondHealing()
            for block in suspect {
                let first = shape.dataSector + block * Self.blockRowCount
                for sector in first..<first + Self.blockRowCount { disk.image.mend(sector) }
            }
        }
    }
}
