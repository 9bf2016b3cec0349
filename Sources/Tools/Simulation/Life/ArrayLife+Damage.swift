import MemberIO

/// Blocks of members that turn unreadable, and what nobody can read or compute any more.
extension ArrayLife {
    /// Rows that are healed together: 4 KiB.
    static let blockRowCount = 8
    /// How often blocks may turn unreadable in a serving. One more, met by the same command each time, and a member that
    /// could be healed fails, since it cannot be healed for long.
    private static let damageMax = 2

    /// Some blocks of a member turn unreadable.
    func damageSomething() {
        guard damageCount < Self.damageMax, !array!.needsRepair else { return }
        let number = world.random.below(world.random.chance(800) ? shape.memberCount : disks.count)
        let count = habits.damageSectorCount
        let hotRowCount = min(shape.rowCount, habits.hotSectorCount / shape.columnCount + shape.chunkSectorCount)
        let limit = world.random.chance(700) ? hotRowCount : shape.rowCount
        let first = world.random.below(limit / count) * count
        let rows = first..<min(shape.rowCount, first + count * world.random.pick([1, 1, 2, 8]))
        // What turns unreadable again before it is verified makes the member fail too.
        let blocks = Self.blocks(of: rows)
        guard unverifiedBlocks.isDisjoint(with: blocks) else { return }
        guard !wouldBeLost(number, rows) || world.random.chance(200) else { return }
        damageCount += 1
        let kind = kindOfDamage(number)
        for row in rows { disks[number].image.damage(shape.dataSector + row, kind) }
        tally[.damages] += 1
        note("rows \(rows.lowerBound)..<\(rows.upperBound) of \(disks[number].name) turn unreadable, \(kind)")
    }

    /// Most are healed by a write. The others make the member fail, sooner or later.
    private func kindOfDamage(_ number: Int) -> DamagedSectors.Kind {
        let role = members.firstIndex { $0 === disks[number] }
        guard role.map(mayFail) ?? true else { return .untilWritten }
        return world.random.pick([.untilWritten, .untilWritten, .untilWritten, .untilWritten, .forEver, .unwritable])
    }

    /// Whether rows without a member would have no second copy.
    private func wouldBeLost(_ number: Int, _ rows: Range<Int>) -> Bool {
        guard shape.level == .raid5 else { return true }
        let blocks = Self.blocks(of: rows)
        return members.indices.contains { role in
            members[role] !== disks[number] && (faultyRoles[role] || blocks.contains { isUnreadable(role, block: $0) })
        }
    }

    private func isUnreadable(_ role: Int, block: Int) -> Bool { isUnreadable(members[role], block: block) }

    private func isUnreadable(_ disk: SimulatedMember, block: Int) -> Bool {
        let first = shape.dataSector + block * Self.blockRowCount
        return disk.image.damaged.isUnreadable(first..<first + Self.blockRowCount)
    }

    private static func blocks(of rows: Range<Int>) -> Range<Int> {
        rows.lowerBound / blockRowCount..<(rows.upperBound - 1) / blockRowCount + 1
    }

    /// Follows how blocks are written anew and read again, and knows when that must fail.
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

    // MARK: What is lost

    /// Notes which blocks of rows cannot all be read or computed at the moment.
    func noteLostRows() {
        guard members.contains(where: { !$0.image.damaged.isEmpty }) else { return }
        let survivable = shape.level.redundancy
        for block in lostAt.indices {
            let count = members.indices.count { faultyRoles[$0] || isUnreadable($0, block: block) }
            if count > survivable { lostAt[block] = world.time }
        }
    }

    /// Whether there have been such blocks since the array was opened.
    var hasLostRows: Bool { lostAt.contains { $0 > 0 } }

    /// Whether a command has met such blocks, perhaps. A write cache destages what others have written.
    func isLost(_ command: SimulatedDriver.Command) -> Bool {
        guard habits.cacheByteCount == 0 else { return hasLostRows }
        return command.sectors.contains { lostAt[shape.place(of: $0).row / Self.blockRowCount] >= command.sentAt }
    }

    // MARK: When the array is opened

    /// Whether some member has what cannot be read.
    var isDamaged: Bool { disks.contains { !$0.image.damaged.isEmpty } }

    /// Notes what may be computed anew when the array is opened.
    func noteUnreadableBlocks() {
        for (number, disk) in disks.enumerated() where !disk.image.damaged.isEmpty {
            for block in 0..<shape.rowCount / Self.blockRowCount where isUnreadable(disk, block: block) {
                unreadableBlocks.insert([number, block])
            }
        }
    }

    /// Whether a row of a member could not be read when the array began to be opened.
    func wasUnreadable(_ role: Int, row: Int) -> Bool {
        guard !unreadableBlocks.isEmpty, let number = disks.firstIndex(where: { $0 === members[role] }) else {
            return false
        }
        return unreadableBlocks.contains([number, row / Self.blockRowCount])
    }

    /// The array was refused for blocks that cannot be read: a user takes one such member away, or puts in a new cable.
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

    /// In rows whose parity is in doubt, what cannot be read would be computed wrong, with all of its block, and so would all
    /// of a member that fails for it: that is the write hole.
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
