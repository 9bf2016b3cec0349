import ArrayStore
import RAIDController

/// Members that are replaced while they serve.
extension ArrayLife {
    /// The disk that is to take a role, its role, and how far it is said to be durable; nil when there is none.
    func replacement(of array: OpenedArray) -> (number: Int, role: Int, byteCount: UInt64)? {
        guard let state = array.replacementState,
            let number = parts(of: array).firstIndex(where: { $0.part == .replacing })
        else { return nil }
        return (number, state.role, state.byteCount)
    }

    /// Whether a member is being filled.
    var isFilling: Bool { array!.recoveringMember != nil || array!.replacementState != nil }

    /// The array's maintenance has something under way.
    var isBusy: Bool { card!.snapshot(array: 0).job?.state == .running }

    /// The role that a member I/O is about: what is at the replacement's place may have a role by now. Nil for what has
    /// none.
    func role(of operation: SimulatedChannel.Operation) -> Int? {
        let place = Int(operation.io.member)
        return place < members.count ? place : members.firstIndex { $0 === operation.member }
    }

    // MARK: Users

    /// What `nbdext replace` asks for.
    func replaceMember() throws(SimulationFault) {
        guard let array, !array.needsRepair else { return }
        let spares = array.memberStates.filter { $0.condition == .spare && $0.path != nil }
        guard let name = spares.isEmpty ? nil : world.random.pick(spares).path,
            let number = disks.firstIndex(where: { $0.name == name })
        else { return }
        let role = world.random.below(members.count)
        // What has ended, the card knows.
        try runCard()
        if world.isDown { return }
        let mustBegin =
            operationCount == 0 && !isBusy && array.failedMembers.isEmpty && array.replacementState == nil
            && !faultyRoles.contains(true) && !disks[number].isDead
        let before = knowledge.disks[number]
        // One that is about to come back to its own role is held like a spare, and is none.
        let isSpare = !before.may.isDisjoint(with: [.spare, .replacing])
        if isSpare && array.replacementState == nil && array.recoveringMember == nil {
            knowledge.disks[number].may.insert(.replacing)
            knowledge.disks[number].role = role
            knowledge.recoveredByteCount = 0
        }
        note("\(name) is to replace member \(role)")
        crashSoon(200, within: 12)
        do throws(MaintenanceError) {
            try card!.replace(role: role, by: name, target: 0)
            tally[.replacementsBegun] += 1
            hasReplacementFailed = false
            mayEndReplacement = false
        } catch {
            if world.isDown { return }
            if mustBegin { throw SimulationFault("no reason to refuse: \(error)") }
            guard isSpare else { return }
            // Somebody could not be told.
            let isUntold = disks[number].isDead || faultyRoles.contains(true)
            knowledge.disks[number].may = isUntold ? [.spare, .replacing, .out] : before.may
            if !isUntold { knowledge.disks[number].role = before.role }
        }
    }

    // MARK: What is known

    /// What may be written of a disk that was a replacement, when it is not sure what was. It may have got the role too: a
    /// maintenance that ends it may have come to its last step.
    func widenReplacing(_ number: Int) {
        knowledge.disks[number].may.formUnion([.spare, .inSync, .out])
        // When the one before it fails, it goes on as a member that is being rebuilt.
        if let role = knowledge.disks[number].role, faultyRoles[role] {
            knowledge.disks[number].may.insert(.recovering)
        }
        let old = disks.indices.first {
            $0 != number && knowledge.disks[$0].role == knowledge.disks[number].role
                && knowledge.disks[$0].may.contains(.inSync)
        }
        if let old { knowledge.disks[old].may.insert(.out) }
    }

    /// A replacement is none any more: somebody must have wanted that.
    func checkMayEnd(_ number: Int, now part: Knowledge.Part, role: Int?) throws(SimulationFault) {
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

    /// What a disk that may be a replacement may be for an array that is opened.
    func partsOfReplacing(_ number: Int) -> Knowledge.Part {
        var may = knowledge.disks[number].may
        guard may.contains(.replacing), let role = knowledge.disks[number].role else { return may }
        if knowledge.mayLack(role, besides: number) { may.insert(.recovering) }
        if knowledge.outCountMax > 0 { may.insert(.spare) }
        return may
    }

    // MARK: What it holds

    /// As far as a replacement is said to go, it is like the member that it is to replace.
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
