import ArrayStore
import RAID

/// Members that come and go: the superblocks are written first, durably; then the planner is told.
extension LiveArray {
    /// Takes a member out of service whose I/O failed, or that is gone. RAID 5 goes on without it once the other
    /// members' superblocks say so. RAID 0 cannot: every later write fails, as in md.
    /// - Parameters:
    ///   - place: the member's role, or the replacement's place.
    ///   - isCurrent: whether the place still has the member that failed; called while no member comes or goes.
    func memberFailed(_ place: Int, if isCurrent: () -> Bool = { true }) {
        membership.withLock {
            guard isCurrent() else { return }
            if place == geometry.replacementPlace { replacementFailed() } else { leave(place) }
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

    /// Under `membership`.
    private func leave(_ role: Int) {
        let isRecorded = store.recordFailure(role: role)
        let putInPlace = store.placing(role: role)
        let isContinued = store.recoveringMember?.role == role
        plannerLock.withLock {
            let isReplaced = planner.replacement?.member == role
            planner.memberFailed(role)
            // If the survivors' superblocks cannot be written, nothing tells them apart from the failed member later.
            if !isRecorded { planner.memberFailed((role + 1) % geometry.memberCount) }
            // The other members of a RAID 0 array stay readable: they may hold all that is left of a user's data.
            guard geometry.level == .raid5 else { return }
            if isSound { membershipEpoch.add(1, ordering: .releasing) }
            guard isReplaced, planner.recovery != nil else { return }
            if isContinued {
                putInPlace()
                spaces[role].forgetAll()
            } else {
                // The replacement's superblock could not be given the role.
                planner.memberFailed(role)
            }
        }
    }

    /// Handles a failed I/O to the replacement's place. Under `membership`.
    private func replacementFailed() {
        let (isReplacing, role) = plannerLock.withLock { (planner.replacement != nil, planner.replacementRole) }
        if isReplacing {
            dropReplacement(isFaulty: true)
        } else if let role {
            // The replacement has taken the role meanwhile.
            leave(role)
        }
    }

    /// Ends a replacement, and fails the members that still record it. Under `membership`.
    private func dropReplacement(isFaulty: Bool) {
        let untold = store.endReplacement(isFaulty: isFaulty)
        plannerLock.withLock { planner.endReplacement() }
        // The replacement gets no more writes: a member whose superblock still names it must not be opened with it.
        for role in untold { leave(role) }
    }

    /// Ends a replacement; its disk is a spare again.
    /// - Returns: false when no replacement is under way.
    func endReplacement() -> Bool {
        let isEnded = membership.withLock {
            guard plannerLock.withLock({ planner.replacement }) != nil else { return false }
            dropReplacement(isFaulty: false)
            return true
        }
        maintenance.wake()
        return isEnded
    }

    /// Begins to replace a member by a spare.
    /// - Parameter path: the spare's path; nil for any spare.
    /// - Returns: false when I/O of the last replacement is still under way.
    func beginReplacement(of role: Int, by path: String?) throws(ArrayStoreError) -> Bool {
        membership.lock()
        defer { membership.unlock() }
        guard plannerLock.withLock({ planner.canBeginReplacement }) else { return false }
        try store.beginReplacement(of: role, by: path)
        spaces[geometry.replacementPlace].forgetAll()
        plannerLock.withLock { planner.beginReplacement(Recovery(member: role, boundary: 0)) }
        return true
    }

    /// Gives the missing role to a spare, which has none of the role's data yet.
    /// - Returns: whether there was a spare.
    func activateSpare() throws(ArrayStoreError) -> Bool {
        membership.lock()
        defer { membership.unlock() }
        guard let role = try store.activateSpare()?.role else { return false }
        spaces[role].forgetAll()
        return plannerLock.withLock { planner.beginRecovery(Recovery(member: role, boundary: 0)) }
    }

    /// Ends the recovery of a member, or of a replacement, that is completely in sync.
    /// - Returns: false when that member has failed meanwhile.
    func endRecovery() throws(ArrayStoreError) -> Bool {
        membership.lock()
        defer { membership.unlock() }
        let replaced = plannerLock.withLock { planner.replacement?.member }
        guard try store.endRecovery() else { return false }
        let putInPlace = replaced.map { store.placing(role: $0) }
        return plannerLock.withLock {
            guard planner.endRecovery() else { return false }
            // Reads without the planner that began before this do not count; later reads need no planner.
            membershipEpoch.add(replaced == nil ? 1 : 2, ordering: .releasing)
            // Under the lock, so that nothing is planned meanwhile.
            putInPlace?()
            if let replaced { spaces[replaced].forgetAll() }
            return true
        }
    }
}
