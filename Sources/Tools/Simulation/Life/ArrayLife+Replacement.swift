import ArrayStore
import MDFormat
import Platform

/// The replacement of members while they serve.
extension ArrayLife {
    /// The disk that is to take a role, that role, and the bytes of the data area that are durable on the disk as the
    /// array says; nil when there is none.
    func replacement(of array: OpenedArray) -> (number: Int, role: Role, byteCount: UInt64)? {
        guard let state = array.replacementState,
            let number = parts(of: array).firstIndex(where: { $0.part == .replacing })
        else { return nil }
        return (number, state.role, state.byteCount)
    }

    /// Whether a member is being rebuilt or replaced.
    var isFilling: Bool { array!.recoveringMember != nil || array!.replacementState != nil }

    /// Whether a job of maintenance is running.
    var isBusy: Bool { card!.snapshot(array: 0).job?.state == .running }

    /// The role of the disk that a member I/O went to, or nil: a disk at the replacement's place may have a role by
    /// now.
    func role(of operation: SimulatedChannel.Operation) -> Role? {
        shape.plan.geometry.role(at: operation.io.place) ?? shape.roles.first { members[$0] === operation.member }
    }

    // MARK: Users

    /// Does what `nbdext replace` does.
    func replaceMember() throws(SimulationFault) {
        guard let array, !array.needsRepair else { return }
        let spares = array.memberStates.filter { $0.condition == .spare && $0.path != nil }
        guard let name = spares.isEmpty ? nil : world.random.pick(spares).path,
            let number = disks.firstIndex(where: { $0.name == name })
        else { return }
        let role = Role(index: world.random.below(members.count))
        // The card must know of all I/O that has ended.
        try runCard()
        if world.isDown { return }
        let mustBegin =
            operationCount == 0 && !isBusy && array.failedMembers.isEmpty && array.replacementState == nil
            && !faultyRoles.contains(true) && !disks[number].isDead
        let before = knowledge.disks[number]
        // A disk that is about to come back to its own role is reported as a spare, but is none.
        let isSpare = !before.may.isDisjoint(with: [.spare, .replacing])
        if isSpare && array.replacementState == nil && array.recoveringMember == nil {
            knowledge.disks[number].may.insert(.replacing)
            knowledge.disks[number].role = role
            knowledge.recoveredByteCount = 0
        }
        note("\(name) is to replace member \(role)")
        crashSoon(200, within: 12)
        do throws(OperationError) {
            try live!.replace(role: role, by: name)
            tally[.replacementsBegun] += 1
            hasReplacementFailed = false
            mayEndReplacement = false
        } catch {
            if world.isDown { return }
            if mustBegin { throw SimulationFault("no reason to refuse: \(error)") }
            guard isSpare else { return }
            // Some superblock could not be written.
            let isUntold = disks[number].isDead || faultyRoles.contains(true)
            knowledge.disks[number].may = isUntold ? [.spare, .replacing, .out] : before.may
            if !isUntold { knowledge.disks[number].role = before.role }
        }
    }

    // MARK: Knowledge

    /// Adds the parts that the superblocks may give a former replacement, when it is not sure what was written. The
    /// disk may have taken the role: maintenance may have come to the last step.
    func widenReplacing(_ number: Int) {
        knowledge.disks[number].may.formUnion([.spare, .inSync, .out])
        // When the old member fails, the replacement goes on as a member that is being rebuilt.
        if let role = knowledge.disks[number].role, faultyRoles[role] {
            knowledge.disks[number].may.insert(.recovering)
        }
        let old = disks.indices.first {
            $0 != number && knowledge.disks[$0].role == knowledge.disks[number].role
                && knowledge.disks[$0].may.contains(.inSync)
        }
        if let old { knowledge.disks[old].may.insert(.out) }
    }

    /// Checks that a replacement has ended for a reason.
    func checkMayEnd(_ number: Int, now part: Knowledge.Part, role: Role?) throws(SimulationFault) {
        guard !world.isDown, knowledge.disks[number].may == .replacing else { return }
        let isRight =
            switch part {
            case .out: hasReplacementFailed || disks[number].isDead || faultyRoles.contains(true)
            case .spare: mayEndReplacement || faultyRoles.contains(true)
            case .recovering: faultyRoles.contains(true)
            default: true
            }
        guard !isRight else { return }
        throw SimulationFault("\(disks[number].name) was to replace a member, and does not any more, for no reason")
    }

    /// The parts that a disk, perhaps a replacement, may have in an array that is opened.
    func partsOfReplacing(_ number: Int) -> Knowledge.Part {
        var may = knowledge.disks[number].may
        guard may.contains(.replacing), let role = knowledge.disks[number].role else { return may }
        if knowledge.mayLack(role, besides: number) { may.insert(.recovering) }
        if knowledge.outCountMax > 0 { may.insert(.spare) }
        return may
    }

    // MARK: Content

    /// Checks that the rows that a replacement is said to have are equal to those of the member that it replaces.
    func checkReplacement(of opened: OpenedArray) throws(SimulationFault) {
        guard let (number, role, byteCount) = replacement(of: opened) else { return }
        for row in 0..<Int(byteCount / 512) where !(opened.needsRepair && isSuspect[row]) {
            let new = disks[number].image.bytes(ofSector: shape.dataSector + row)
            let old = members[role].image.bytes(ofSector: shape.dataSector + row)
            guard !Self.areEqual(new, old) else { continue }
            let stripe = row / shape.chunkSectorCount
            throw SimulationFault(
                "row \(row) of \(disks[number].name) is not that of member \(role), which it is to replace",
                sector: stripe * shape.stripeSectorCount + row % shape.chunkSectorCount)
        }
    }
}
