import MDFormat
import MemberIO

/// From events to effects.
extension Membership {
    /// Takes an event.
    /// - Returns: what is to be done. If the last effect is `.collect`, `written` is called next, and no other event
    ///   comes before it has answered without `.collect`.
    package mutating func handle(_ event: Event) -> [Effect] {
        precondition(change == nil, "an event comes while another is carried out")
        switch event {
        case .failed(let role, let hasWaitedInVain): return fail(role, hasWaitedInVain: hasWaitedInVain)
        case .replacementBegins(let role, let member):
            precondition(missing.isEmpty && successor == nil, "the array is whole and replaces nobody")
            take(spare: member)
            successor = Successor(role: role, member: member, byteCount: 0)
            return [.enter(member, .role(role))] + write(.beginning(role: role, member))
        case .replacementEnds(let isFaulty):
            guard let ended = successor else { return [] }
            successor = nil
            if isFaulty { former.append(ended.member) }
            return [
                .enter(ended.member, isFaulty ? .faulty : .spare),
                .report(.endsReplacement(role: ended.role, ended.member, isFaulty: isFaulty)),
            ] + write(.givingUp(ended.member, isFaulty: isFaulty))
        case .spareTakesRole(let role, let member, let isGuided, let displaced):
            precondition(failedRoles == [role] && recovering == nil, "the role is the only one without a member")
            take(spare: member)
            if let displaced { former.append(displaced) }
            seats[role] = Seat(member, .recovering(byteCount: 0, isGuided: isGuided))
            return [.seat(role: role, member), .enter(member, .role(role))]
                + write(.activating(role: role, member, isGuided: isGuided))
        case .progress(let byteCount):
            successor?.byteCount = byteCount
            if let recovering {
                seats[recovering.role].standing = .recovering(byteCount: byteCount, isGuided: recovering.isGuided)
            }
            return write(.progressing)
        case .recoveryIsComplete:
            guard !isLost else { return [] }
            if let role = recovering?.role {
                seats[role].standing = .inSync
                return write(.completing(role: role), first: Place(role))
            }
            guard let new = successor else { return [] }
            let old = seats[new.role].member
            return [.remember(role: new.role)] + giveRole(to: new, .inSync)
                + write(.switching(old: old, new: new), first: Place(new.role))
        case .marked: return write(.marking)
        }
    }

    private mutating func fail(_ role: Role, hasWaitedInVain: Bool) -> [Effect] {
        let before = seats[role]
        guard before.standing != .failed else { return [.plan(.failed(role: role, isRecorded: true))] }
        seats[role].standing = .failed
        if hasWaitedInVain && !isLost && level.redundancy > 0 {
            // Other members are lost as well. No superblock is written: in their present state all members belong
            // together.
            isLost = true
            return [.report(.isLostInVain), .plan(.failed(role: role, isRecorded: false))]
        }
        if hasFailed {
            // The members of a RAID 0 array need not be told apart: none goes on without the others.
            let isRecorded = !isLost || level.redundancy == 0
            isLost = true
            return [.report(.isLostWith(role: role)), .plan(.failed(role: role, isRecorded: isRecorded))]
        }
        var effects: [Effect] = [.report(.goesOnWithout(role: role))]
        guard !isReadOnly else { return effects + [.plan(.failed(role: role, isRecorded: true))] }
        if case .recovering(_, isGuided: false) = before.standing {
            // It never had the array's data.
        } else {
            effects.append(.noteDeparture(role: role))
        }
        guard let new = successor else { return effects + write(.failing(role: role, ended: nil)) }
        guard new.role == role else {
            // The missing member needs the spare more.
            successor = nil
            return effects + [.enter(new.member, .spare)] + write(.failing(role: role, ended: new.member))
        }
        effects += giveRole(to: new, .recovering(byteCount: new.byteCount, isGuided: false))
        return effects + write(.continuing(role: role, old: before.member, new: new.member))
    }

    private mutating func giveRole(to new: Successor, _ standing: Seat.Standing) -> [Effect] {
        let old = seats[new.role].member
        successor = nil
        seats[new.role] = Seat(new.member, standing)
        return [.seat(role: new.role, new.member)] + (old.map { [.enter($0, .faulty)] } ?? [])
    }

    // MARK: Writing

    /// The writes of a change, to one member after another.
    /// - Parameter first: the place whose member is written first. It has just become complete, and would pass for
    ///   incomplete if the others recorded the change before it did.
    private mutating func write(_ change: Change, first: Place? = nil) -> [Effect] {
        // What an array that is lost would write is as if it were written.
        guard !isLost else { return conclude(change, Failures()) }
        self.change = change
        isSettling = false
        var effects: [Effect] = [.draw(isWhole: missing.isEmpty)]
        for role in present { effects.append(.writeHeader(role: role)) }
        for place in placesInUse where place == first { effects.append(.writeState(place: place)) }
        for place in placesInUse where place != first { effects.append(.writeState(place: place)) }
        return effects + [.collect]
    }

    /// Takes the outcome of the writes.
    /// - Returns: what is to be done next, as `handle` does.
    package mutating func written(_ failures: Failures) -> [Effect] {
        guard let change else { preconditionFailure("no writes are under way") }
        if failures.places.isEmpty && !isSettling {
            isSettling = true
            // From here on, no member with the state before is believed.
            return [.settle] + placesInUse.map { .writeState(place: $0) } + [.collect]
        }
        self.change = nil
        // Members without the new state must not fall further behind: the array can be opened again with them.
        let out = missing.union(failures.places.compactMap { role(at: $0) })
        if !failures.places.isEmpty && level.redundancy > 0 && out.count > level.redundancy { isLost = true }
        return conclude(change, failures)
    }

    private mutating func conclude(_ change: Change, _ failures: Failures) -> [Effect] {
        let isWritten = failures.places.isEmpty
        let failing: [Effect] = failures.untold.isEmpty ? [] : [.fail(places: failures.untold)]
        let complaint: [Effect] = isWritten ? [] : [.reportFailure]
        switch change {
        case .failing(let role, let ended):
            guard isWritten else {
                // Another of the remaining members is gone too, and must not fall further behind.
                isLost = true
                return [.reportFailure, .plan(.failed(role: role, isRecorded: false))]
            }
            return (ended.map { [.makeSpare($0)] } ?? []) + [.plan(.failed(role: role, isRecorded: true))]
        case .continuing(let role, let old, let new):
            return concludeContinuing(role, old: old, new: new, isWritten: isWritten)
        case .givingUp(let member, let isFaulty):
            // It gets no more writes: a member whose superblock still names it must not be opened with it.
            return complaint + (isFaulty ? [] : [.makeSpare(member)]) + [.plan(.replacementEnded)] + failing
        case .beginning(let role, let member):
            guard isWritten else {
                successor = nil
                let others = failures.untold.filter { $0 != replacementPlace }
                // Its superblock may already say that it is a replacement.
                return [.enter(member, .spare), .makeSpare(member)] + (others.isEmpty ? [] : [.fail(places: others)])
            }
            return [.report(.beginsReplacement(role: role, member)), .plan(.replacementBegan(role: role))]
        case .activating(let role, let member, let isGuided):
            // A member that was merely not told gets the state with the next change; the spare has the role.
            guard failures.untold.isEmpty else { return complaint + failing }
            return complaint
                + [.report(.rebuilds(role: role, member, isGuided: isGuided)), .plan(.recoveryBegan(role: role))]
        case .progressing: return complaint + failing
        case .marking: return failing
        case .completing(let role):
            guard !failures.untold.contains(Place(role)) else { return complaint + failing }
            return complaint + [.report(.isUpToDate(role: role)), .plan(.recoveryEnded(replaced: nil))] + failing
        case .switching(let old, let new):
            guard isWritten else { return concludeSwitching(old: old, new: new, failures) }
            if let old { former.append(old) }
            return [
                .report(.isReplaced(role: new.role, old: old, new: new.member)),
                .plan(.recoveryEnded(replaced: new.role)),
            ]
        }
    }

    private mutating func concludeContinuing(_ role: Role, old: MemberID?, new: MemberID, isWritten: Bool) -> [Effect] {
        if isWritten {
            if let old { former.append(old) }
            return [.report(.goesOnRebuilding(role: role, new)), .plan(.succeeded(role: role))]
        }
        seats[role] = Seat(old, .failed)
        former.append(new)
        let effects: [Effect] = [.reportFailure, .enter(new, .faulty)]
        // Too many members could not be told about the new member.
        if isLost { return effects + [.plan(.failed(role: role, isRecorded: false))] }
        return effects + write(.failing(role: role, ended: nil))
    }

    /// The old member goes on serving, since either is as good. The superblock that could not be written may be the new
    /// one's.
    private mutating func concludeSwitching(old: MemberID?, new: Successor, _ failures: Failures) -> [Effect] {
        seats[new.role] = Seat(old, .inSync)
        successor = new
        let places = failures.untold.map { $0 == Place(new.role) ? replacementPlace : $0 }
        return [.revert, .reportFailure] + (places.isEmpty ? [] : [.fail(places: places)])
    }
}
