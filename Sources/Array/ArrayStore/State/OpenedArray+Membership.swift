import MDFormat
import MemberIO
import RAID

/// Plans and carries out I/O to an array's members, and is told when they change.
///
/// Threads: called under the array's lock, on the thread that makes the change.
package protocol MembershipListener: AnyObject {
    /// Takes a step. What the present members have to record is durable.
    /// - Parameter putInPlace: makes lanes find the member that has the role now at the role's place. To be called when
    ///   no I/O planned from then on needs the previous member. I/O that is under way to the replacement's place still
    ///   finds the member there.
    func carryOut(_ step: Membership.Step, putInPlace: () -> Void)

    /// Members could not be told of a change, and have to be failed after this call has returned.
    func mustFail(places: [Place])
}

extension MemberScan {
    /// Who is a member when the array is opened.
    /// - Parameters:
    ///   - hasBitmap: whether the array has a bitmap, which knows what a member has missed.
    ///   - known: gets the members by their IDs.
    func membership(readOnly: Bool, hasBitmap: Bool, known: inout KnownMembers) -> Membership {
        let all = geometry.memberDataByteCount
        var seats = members.map { Membership.Seat($0.map { known.add($0) }, $0 == nil ? .failed : .inSync) }
        if let (role, member) = recovering.first, members[role] == nil, !readOnly {
            seats[role] = Membership.Seat(
                known.add(member),
                .recovering(
                    byteCount: min(member.superblock.recoveryByteOffset ?? 0, all),
                    isGuided: member.superblock.isRecoveryGuided && hasBitmap))
        }
        let successor = (readOnly ? nil : replacement).map { role, member in
            Membership.Successor(role: role, member: known.add(member), byteCount: member.filledByteCount(geometry))
        }
        return Membership(
            level: geometry.level, isReadOnly: readOnly, seats: seats, successor: successor,
            spares: spares.map { known.add($0) })
    }
}

/// Carrying out what `Membership` decides.
extension OpenedArray {
    /// What came of an event.
    struct Outcome {
        /// Why members could not be told; nil if all know the last change.
        var error: ArrayStoreError?
        /// The steps that the planner was told, in their order.
        var steps: [Membership.Step] = []

        /// - Throws: the error, if there is one.
        func check() throws(ArrayStoreError) { if let error { throw error } }
    }

    /// Takes an event, and carries out its effects. Under `lock`, which is held during this rare I/O so that nothing is
    /// acknowledged that the survivors do not know.
    func carryOut(_ event: Membership.Event, telling listener: (any MembershipListener)?) -> Outcome {
        defer { showState() }
        var outcome = Outcome()
        var failures: [(place: Place, error: ArrayStoreError)] = []
        var effects = membership.handle(event)
        while !effects.isEmpty {
            var next: [Membership.Effect] = []
            for effect in effects {
                switch effect {
                case .draw(let isWhole):
                    failures = []
                    outcome.error = nil
                    draw(isWhole: isWhole)
                case .settle: records.newest.settle()
                case .writeHeader(let role):
                    do throws(ArrayStoreError) { try writeBitmapHeader(to: role) } catch {
                        failures.append((Place(role), error))
                    }
                case .writeState(let place):
                    do throws(ArrayStoreError) { try writeState(to: place) } catch { failures.append((place, error)) }
                case .collect:
                    let untold = Set(failures.filter { $0.error.kind != .notTaken }.map(\.place)).sorted()
                    outcome.error = failures.first?.error.failing(untold)
                    next = membership.written(
                        Membership.Failures(places: Set(failures.map(\.place)).sorted(), untold: untold))
                case .plan(let step):
                    outcome.steps.append(step)
                    listener?.carryOut(step) { putInPlace(step) }
                case .fail(let places): listener?.mustFail(places: places)
                case .reportFailure: if let error = outcome.error { report(error.description, .error) }
                case .report(let news): tell(news)
                case .makeSpare(let member): takeBack(member)
                case .enter(let member, let entry): records.enter(known[member]!, entry)
                case .seat(let role, let member): records.seat(known[member]!, role: role)
                case .noteDeparture(let role): records.noteDeparture(role: role)
                case .remember(let role): records.remember(role: role)
                case .revert: records.revert()
                }
            }
            effects = next
        }
        forgetUnused()
        return outcome
    }

    private func draw(isWhole: Bool) {
        records.draw(
            mark: environment.random(), time: environment.clock(), isWhole: isWhole,
            failedRoles: membership.failedRoles)
        bitmap?.events = records.newest.events
        // Bits are kept while a member is missing, so the count stays at the last state that all members had.
        if isWhole { bitmap?.eventsCleared = records.newest.events }
    }

    /// Writes the array's state, and the progress of its own rebuild, to the member at a place. Under `lock`.
    func writeState(to place: Place) throws(ArrayStoreError) {
        guard let member = member(at: place), let before = records.superblock(at: place) else { return }
        var own = before
        own.takeState(of: records.newest)
        guard let role = membership.role(at: place) else {
            own.features.insert(.replacement)
            own.recoveryByteOffset = membership.successor?.byteCount
            records.set(own, at: place)
            return try member.write(own)
        }
        let recovery = membership.recovering.flatMap { $0.role == role ? $0 : nil }
        own.recoveryByteOffset = recovery?.byteCount
        own.isRecoveryGuided = recovery?.isGuided ?? false
        outages?.expect([before, own], of: role)
        records.set(own, at: place)
        try member.write(own)
        outages?.expect([own], of: role)
        records.noteWritten(role: role)
    }

    private func writeBitmapHeader(to role: Role) throws(ArrayStoreError) {
        guard let bitmap, let member = member(of: role) else { return }
        try MemberBitmap.writeHeader(bitmap, to: member)
    }

    private func putInPlace(_ step: Membership.Step) {
        switch step {
        case .succeeded(let role), .recoveryEnded(replaced: let role?):
            if let place = member(of: role)?.store.place { _ = bays[role]?.put(place) }
        case .failed, .recoveryBegan, .recoveryEnded(replaced: nil), .replacementBegan, .replacementEnded: break
        }
    }

    // MARK: Members by ID

    /// The member at a place; nil for none.
    func member(at place: Place) -> ArrayMember? {
        guard let role = membership.role(at: place) else { return membership.successor.flatMap { known[$0.member] } }
        return member(of: role)
    }

    /// The member that has a role, or had it last; nil for none.
    func member(of role: Role) -> ArrayMember? { membership.seats[role].member.flatMap { known[$0] } }

    private func forgetUnused() {
        known.keep(
            only: membership.seats.compactMap(\.member) + [membership.successor?.member].compactMap { $0 }
                + membership.spares + membership.former)
        if membership.successor == nil { records.set(nil, at: membership.replacementPlace) }
    }

    // MARK: Messages

    private func tell(_ news: Membership.News) {
        func file(_ member: MemberID?) -> String? { member.flatMap { known[$0]?.store.name } }
        switch news {
        case .goesOnWithout(let role):
            report("member \(role) of \(name) failed; the array goes on without it", .warning)
        case .isLostWith(let role):
            report(
                geometry.level == .raid0
                    ? "member \(role) of \(name) failed, and RAID 0 cannot go on without it: nothing can be written, "
                        + "and no data of that member read, until it can be used again and the array is served again"
                    : "member \(role) of \(name) failed too, and the array cannot go on; when the member can be read "
                        + "again, serve the array with --force", .error)
        case .isLostInVain:
            report("\(name) cannot go on; when the servers of its members can be reached again, serve it again", .error)
        case .beginsReplacement(let role, let new):
            report("replacing member \(role) of \(name), which serves meanwhile, by \(file(new)!)", .notice)
        case .endsReplacement(let role, let ended, let isFaulty):
            report(
                "\(file(ended)!) no longer replaces member \(role) of \(name)"
                    + (isFaulty ? ": it failed" : "; it is a spare"), isFaulty ? .warning : .notice)
        case .goesOnRebuilding(let role, let new):
            report("member \(role) of \(name) is being rebuilt onto \(file(new)!)", .notice)
        case .rebuilds(let role, let member, let isGuided):
            report(
                isGuided
                    ? "member \(role) of \(name) comes back: \(file(member)!)"
                    : "rebuilding member \(role) of \(name) onto \(file(member)!)", .notice)
        case .isUpToDate(let role): report("member \(role) of \(name) is up to date; the array is whole", .notice)
        case .isReplaced(let role, let old, let new):
            report(
                "member \(role) of \(name) is now \(file(new)!); \(file(old) ?? "the one before it") is no longer "
                    + "needed", .notice)
        }
    }
}
