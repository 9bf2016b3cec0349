import ArrayStore
import MDFormat
import MemberIO
import RAID

/// Follows which members the array uses, and in which parts.
extension ArrayLife {
    /// By disk: its part in an array, and its role.
    func parts(of array: OpenedArray) -> [(part: Knowledge.Part, role: Role?)] {
        var parts = [(part: Knowledge.Part, role: Role?)](repeating: (.out, nil), count: disks.count)
        for state in array.memberStates {
            guard let disk = disks.firstIndex(where: { $0.name == state.path }) else { continue }
            switch state.condition {
            case .active: parts[disk] = (.inSync, state.role)
            case .recovering: parts[disk] = (.recovering, state.role)
            case .replacing: parts[disk] = (.replacing, state.role)
            case .spare: parts[disk] = (.spare, nil)
            case .failed: parts[disk] = (.out, state.role)
            }
        }
        return parts
    }

    /// Updates `knowledge` if the array has changed its members since the last call.
    /// - Throws: when a member was left out without a reason.
    func learn() throws(SimulationFault) {
        try checkNothingIsForgotten()
        guard !world.news.isEmpty || world.isDown else { return }
        noteNews()
        guard shape.level == .raid5, let array else { return }
        let hadHolder = shape.roles.map { knowledge.holder(of: $0) != nil }
        // Survivors that are dead themselves may not have recorded the change.
        let isSure = !world.isDown && faultyRoles.count(where: { $0 }) <= 1
        for (number, (part, role)) in parts(of: array).enumerated() where !knowledge.disks[number].isAbsent {
            if part == .out { try checkHasReason(number) }
            if part != .replacing { try checkMayEnd(number, now: part, role: role) }
            // The array is lost without this disk, and leaves its superblocks as they are.
            if part == .out, knowledge.disks[number].may == .inSync, let role, array.failedMembers.count > 1,
                shape.roles.contains(where: { $0 != role && !hadHolder[$0] })
            {
                markFaulty(role, by: number)
                continue
            }
            learn(number, part, role, isSure: isSure)
        }
        findMembers()
        learnProgress()
    }

    private func learn(_ number: Int, _ part: Knowledge.Part, _ role: Role?, isSure: Bool) {
        let before = knowledge.disks[number].may
        let isSameRole = role == knowledge.disks[number].role
        knowledge.disks[number].role = role ?? knowledge.disks[number].role
        if part == .recovering && before != .recovering {
            tally[array!.recoveringMember?.isGuided == true ? .returnsBegun : .rebuildsBegun] += 1
        }
        if part == .inSync && before == .recovering && isSure { tally[.rebuildsDone] += 1 }
        if part == .inSync && before == .replacing && isSure { tally[.replacementsDone] += 1 }
        if part == .recovering && before == .replacing && isSure { tally[.replacementsRebuilt] += 1 }
        // A member that may come back is reported as a spare, and its superblock has not been written yet.
        let part = part == .spare && before.isDisjoint(with: [.spare, .replacing]) ? .out : part
        var may = isSure ? part : before.union(part)
        // A member that cannot come back any more becomes a spare first.
        if !isSure && part == .recovering { may.insert(.spare) }
        // A spare whose superblock could not be written is still a spare, and is rebuilt from the start.
        if part == .out && before.contains(.spare) { may.insert(.spare) }
        if !isSure && part == .out && bays.contains(where: { $0.member === disks[number] }) {
            // It may have been recovering, or in sync, in between.
            if before.contains(.spare) || returning.contains(number) { may.insert(.recovering) }
            if before.contains(.recovering) { may.insert(.inSync) }
        }
        let isContinued = before.contains(.recovering) || before.contains(.replacing) && isSameRole
        if may.contains(.recovering) && !isContinued { knowledge.recoveredByteCount = 0 }
        knowledge.disks[number].may = may
        if !isSure && before.contains(.replacing) { widenReplacing(number) }
        if part == .inSync && before != .inSync && isSure {
            faultyRoles[role!] = disks[number].isDead || hasUnheardFailure(role!)
        }
        if part != .inSync, let role, knowledge.disks[number].role == role { markFaulty(role, by: number) }
    }

    /// Checks that a good member that was left out has failed.
    private func checkHasReason(_ number: Int) throws(SimulationFault) {
        let disk = knowledge.disks[number]
        guard !world.isDown, disk.may == .inSync, let role = disk.role, !faultyRoles[role],
            bays.isEmpty || bays[role].member === disks[number]
        else { return }
        // A write that meets an unreadable block in a row that is already lost makes its member fail at once.
        if hasLostRows, !disks[number].image.damaged.isEmpty { return }
        throw SimulationFault("\(disks[number].name) was left out without a reason")
    }

    /// Whether the array has still to see the failure of a member that it has just recorded as in sync.
    private func hasUnheardFailure(_ role: Role) -> Bool {
        world.channels.contains {
            $0.hasFailure(at: Place(role)) || $0.hasFailure(at: shape.plan.geometry.replacementPlace)
        }
    }

    private func markFaulty(_ role: Role, by number: Int) {
        if bays.isEmpty || bays[role].member === disks[number] { faultyRoles[role] = true }
    }

    /// Notes how much of a rebuild is durable, and need not be done again.
    func learnProgress() {
        guard !world.isDown, let array else { return }
        if let filled = array.recoveringMember?.byteCount ?? array.replacementState?.byteCount {
            knowledge.recoveredByteCount = filled
        }
    }

    /// Notes which disks have the roles now.
    func findMembers() {
        for role in shape.roles where !bays.isEmpty { members[role] = bays[role].member ?? members[role] }
    }

    func noteNews() {
        for text in world.news { note(text) }
        world.news.removeAll(keepingCapacity: true)
    }

    // MARK: Opening

    /// Checks that an array that was opened may use each disk as it does.
    func checkParts(_ opened: OpenedArray) throws(SimulationFault) {
        let found = parts(of: opened)
        for (number, disk) in knowledge.disks.enumerated() {
            let (part, role) = found[number]
            if disk.isAbsent {
                guard part == .out else { throw SimulationFault("\(disks[number].name) is absent and in use") }
                continue
            }
            guard partsOfReplacing(number).contains(part), role == nil || role == disk.role else {
                throw SimulationFault("\(disks[number].name) \(Self.complaint(part, disk.may))")
            }
            // The removal of a spare is not flushed, so the disk may be a spare again.
            knowledge.disks[number].may = part == .out ? disk.may.intersection([.out, .spare]) : part
            // Until its superblock is written, it may be a replacement again when other members are there.
            if disk.may.contains(.replacing) && part != .inSync && part != .out {
                knowledge.disks[number].may.insert(.replacing)
            }
        }
        if let recovering = opened.recoveringMember {
            guard recovering.byteCount >= knowledge.recoveredByteCount else {
                throw SimulationFault(
                    "\(recovering.byteCount) bytes of member \(recovering.role) are rebuilt, and "
                        + "\(knowledge.recoveredByteCount) were")
            }
            knowledge.recoveredByteCount = recovering.byteCount
            tally[.rebuildsResumed] += 1
        }
        if let (number, role, byteCount) = replacement(of: opened) {
            guard byteCount >= knowledge.recoveredByteCount else {
                throw SimulationFault(
                    "\(byteCount) bytes of member \(role) are copied to \(disks[number].name), and "
                        + "\(knowledge.recoveredByteCount) were")
            }
            knowledge.recoveredByteCount = byteCount
            tally[.replacementsResumed] += 1
        }
    }

    private static func complaint(_ part: Knowledge.Part, _ may: Knowledge.Part) -> String {
        switch part {
        case .inSync: "is stale, and came back as good"
        case .recovering: "is not being rebuilt, and is taken for a member that is"
        case .spare: "is no spare, and is taken for one"
        case .replacing: "is no replacement, and is taken for one"
        default:
            may.contains(.inSync)
                ? "is good, and was left out"
                : may.contains(.replacing)
                    ? "is to replace a member, and was left out"
                    : "is a \(may.contains(.recovering) ? "member that is rebuilt" : "spare"), and was left out"
        }
    }
}
