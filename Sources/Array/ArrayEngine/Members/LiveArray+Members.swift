import ArrayStore
import MDFormat
import MemberIO
import RAID

/// Members that come and go. The open array decides and writes the superblocks (`Membership`); each step is taken here
/// when it is durable.
extension LiveArray {
    /// Takes a member out of service whose I/O failed, or that is gone. RAID 5 goes on without it once the other
    /// members' superblocks say so. RAID 0 cannot: every later write fails, as in md.
    /// - Parameters:
    ///   - place: the member's place.
    ///   - isCurrent: whether the place still has the member that failed; called while no member comes or goes.
    func memberFailed(_ place: Place, if isCurrent: () -> Bool = { true }) {
        changeMembers {
            if isCurrent() { fail(place) }
        }
        maintenance.wake()
    }

    /// Checks that all members are still there, since one without I/O can disappear unnoticed, and fails those that are
    /// gone. Any thread; may block, and renews `view` before that.
    package func watchMembers() {
        _ = store.view
        for place in store.lostPlaces() { memberFailed(place) { store.isLost(place: place) } }
        if geometry.level == .raid0 && store.health == .failed { store.takeBackReconnected() }
    }

    /// Makes a change of members, and fails those that could not be told of it.
    private func changeMembers<Result, Failure>(_ change: () throws(Failure) -> Result) throws(Failure) -> Result {
        membership.lock()
        defer { membership.unlock() }
        defer {
            while !mustFail.isEmpty { fail(mustFail.removeFirst()) }
        }
        return try change()
    }

    /// Under `membership`.
    private func fail(_ place: Place) {
        if let role = geometry.role(at: place) {
            store.recordFailure(role: role, telling: self)
            return
        }
        let (isReplacing, role) = plannerLock.withLock { (planner.replacement != nil, planner.replacementRole) }
        if isReplacing {
            store.endReplacement(isFaulty: true, telling: self)
        } else if let role {
            // The replacement has taken the role meanwhile.
            store.recordFailure(role: role, telling: self)
        }
    }

    /// Ends a replacement; its disk is a spare again.
    /// - Returns: false when no replacement is under way.
    func endReplacement() -> Bool {
        let isEnded = changeMembers {
            guard plannerLock.withLock({ planner.replacement }) != nil else { return false }
            store.endReplacement(isFaulty: false, telling: self)
            return true
        }
        maintenance.wake()
        return isEnded
    }

    /// Begins to replace a member by a spare.
    /// - Parameter path: the spare's path; nil for any spare.
    /// - Returns: false when I/O of the last replacement is still under way.
    func beginReplacement(of role: Role, by path: String?) throws(ArrayStoreError) -> Bool {
        try changeMembers { () throws(ArrayStoreError) in
            guard plannerLock.withLock({ planner.canBeginReplacement }) else { return false }
            try store.beginReplacement(of: role, by: path, telling: self)
            return true
        }
    }

    /// Gives the missing role to a spare, which has none of the role's data yet.
    /// - Returns: whether the planner knows a member that is to be rebuilt.
    func activateSpare() throws(ArrayStoreError) -> Bool {
        try changeMembers { () throws(ArrayStoreError) in
            guard try store.activateSpare(telling: self) != nil else { return false }
            return plannerLock.withLock { planner.recovery != nil }
        }
    }

    /// Makes the progress of a rebuild or of a replacement durable.
    /// - Returns: whether it is recorded. If not, a member has failed.
    func recordRecovery(_ recovery: Recovery, place: Place) -> Bool {
        guard store.flushRecovering() else {
            memberFailed(place)
            return false
        }
        // A failure is reported, and those that were not told will be failed.
        return changeMembers { (try? store.recordRecovery(byteCount: recovery.boundary, telling: self)) != nil }
    }

    /// Ends the recovery of a member, or of a replacement, that is completely in sync.
    /// - Returns: false when that member has failed meanwhile, or could not be told.
    func endRecovery() -> Bool {
        changeMembers {
            guard (try? store.endRecovery(telling: self)) == true else { return false }
            return plannerLock.withLock { planner.state == .healthy && planner.recovery == nil }
        }
    }

    /// Draws a new mark for all members.
    func renewMark() throws(ArrayStoreError) {
        try changeMembers { () throws(ArrayStoreError) in try store.renewMark(telling: self) }
    }

    /// Removes a failed member or a spare.
    /// - Parameter matches: picks one of the array's members.
    /// - Returns: the path of the member's file.
    package func remove(_ matches: (OpenedArray.MemberState) -> Bool) throws(ArrayStoreError) -> String {
        try changeMembers { () throws(ArrayStoreError) in try store.remove(telling: self, matches) }
    }
}

extension LiveArray: MembershipListener {
    package func mustFail(places: [Place]) { mustFail += places }

    package func carryOut(_ step: Membership.Step, putInPlace: () -> Void) {
        // In one section, so that nothing is planned between.
        plannerLock.withLock {
            switch step {
            case .failed(let role, let isRecorded): planWithout(role, isRecorded: isRecorded)
            case .succeeded(let role):
                planner.memberFailed(role)
                if isSound { membershipEpoch.add(1, ordering: .releasing) }
                putInPlace()
                spaces[role].forgetAll()
            case .recoveryBegan(let role):
                assert(!isSound, "a member is rebuilt in an array that is whole")
                spaces[role].forgetAll()
                _ = planner.beginRecovery(Recovery(member: role, boundary: 0))
            case .recoveryEnded(let replaced):
                guard planner.endRecovery() else { return }
                // Reads without the planner that began before this do not count; later reads need no planner.
                membershipEpoch.add(replaced == nil ? 1 : 2, ordering: .releasing)
                putInPlace()
                if let replaced { spaces[replaced].forgetAll() }
            case .replacementBegan(let role):
                spaces[geometry.replacementPlace.index].forgetAll()
                planner.beginReplacement(Recovery(member: role, boundary: 0))
            case .replacementEnded: planner.endReplacement()
            }
            assert(
                geometry.level == .raid0 || isSound == (planner.state == .healthy),
                "reads that go past the planner take the array for sound, and the planner does not, or the reverse")
        }
    }

    /// Under `plannerLock`.
    private func planWithout(_ role: Role, isRecorded: Bool) {
        let isReplaced = planner.replacement?.member == role
        planner.memberFailed(role)
        // If the survivors' superblocks cannot be written, nothing tells them apart from the failed member later.
        if !isRecorded { planner.memberFailed(Role(index: (role.index + 1) % geometry.memberCount)) }
        // The other members of a RAID 0 array stay readable: they may hold all that is left of a user's data.
        guard geometry.level == .raid5 else { return }
        if isSound { membershipEpoch.add(1, ordering: .releasing) }
        // The replacement's superblock could not be given the role.
        if isReplaced && planner.recovery != nil { planner.memberFailed(role) }
    }
}
