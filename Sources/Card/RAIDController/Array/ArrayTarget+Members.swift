import ArrayStore
import RAID

/// Members that come and go: first the superblocks say so, durably, and then the planner hears of it.
extension ArrayTarget {
    /// A member operation failed, or the member is gone. RAID 5 goes on without it, as soon as the others know of it; RAID 0
    /// has nothing to go on with: whatever would change it fails from then on, as in md.
    /// - Parameters:
    ///   - place: the member's role, or the replacement's place.
    ///   - isCurrent: whether it is still the member that failed; asked when no other one comes or goes.
    func memberFailed(_ place: Int, if isCurrent: () -> Bool = { true }) {
        membership.withLock {
            guard isCurrent() else { return }
            if place == geometry.replacementPlace { replacementFailed() } else { leave(place) }
        }
        maintenance.ring()
    }

    /// Looks where the members are, and fails those that are gone. What is shown of the array is renewed before, since a
    /// member that hangs may keep it from being looked at later.
    func watchMembers() {
        _ = array.view
        for place in array.lostPlaces() { memberFailed(place) { array.isLost(place: place) } }
        if geometry.level == .raid0 && array.health == .failed { array.takeBackReconnected() }
    }

    /// Under `membership`.
    private func leave(_ role: Int) {
        let isRecorded = array.recordFailure(role: role)
        let putInPlace = array.placing(role: role)
        let isContinued = array.recoveringMember?.role == role
        plannerLock.withLock {
            let isReplaced = planner.replacement?.member == role
            planner.memberFailed(role)
            // Survivors that cannot be told could not be told apart from the failed member later.
            if !isRecorded { planner.memberFailed((role + 1) % geometry.memberCount) }
            // What the other members of a RAID 0 array hold can still be read: it may be all that is left of somebody's data.
            guard geometry.level == .raid5 else { return }
            if isSound { soundness.add(1, ordering: .releasing) }
            guard isReplaced, planner.recovery != nil else { return }
            if isContinued {
                putInPlace()
                spaces[role].forgetAll()
            } else {
                // The replacement could not be told that it has the role.
                planner.memberFailed(role)
            }
        }
    }

    /// An I/O to the replacement's place failed. Under `membership`.
    private func replacementFailed() {
        let (isReplacing, role) = plannerLock.withLock { (planner.replacement != nil, planner.replacementRole) }
        if isReplacing {
            dropReplacement(isFaulty: true)
        } else if let role {
            // It has got the role meanwhile.
            leave(role)
        }
    }

    /// Under `membership`.
    private func dropReplacement(isFaulty: Bool) {
        let untold = array.endReplacement(isFaulty: isFaulty)
        plannerLock.withLock { planner.endReplacement() }
        // Members that believe in a replacement which is not written any more must not be opened with it.
        for role in untold { leave(role) }
    }

    /// Gives a replacement up: it is a spare again.
    /// - Returns: false when there is none.
    func endReplacement() -> Bool {
        let isEnded = membership.withLock {
            guard plannerLock.withLock({ planner.replacement }) != nil else { return false }
            dropReplacement(isFaulty: false)
            return true
        }
        maintenance.ring()
        return isEnded
    }

    /// Begins to replace a member by a spare.
    /// - Parameter path: which spare; nil for any.
    /// - Returns: false when it cannot be now: something of the last one is still under way.
    func beginReplacement(of role: Int, by path: String?) throws(ArrayStoreError) -> Bool {
        membership.lock()
        defer { membership.unlock() }
        guard plannerLock.withLock({ planner.canBeginReplacement }) else { return false }
        try array.beginReplacement(of: role, by: path)
        spaces[geometry.replacementPlace].forgetAll()
        plannerLock.withLock { planner.beginReplacement(Recovery(member: role, boundary: 0)) }
        return true
    }

    /// Gives a spare the role that is missing.
    /// - Returns: whether there is one; it has nothing of the role's data yet.
    func activateSpare() throws(ArrayStoreError) -> Bool {
        membership.lock()
        defer { membership.unlock() }
        guard let role = try array.activateSpare()?.role else { return false }
        spaces[role].forgetAll()
        return plannerLock.withLock { planner.beginRecovery(Recovery(member: role, boundary: 0)) }
    }

    /// The recovering member, or the replacement, is in sync everywhere.
    /// - Returns: false when it has failed meanwhile.
    func endRecovery() throws(ArrayStoreError) -> Bool {
        membership.lock()
        defer { membership.unlock() }
        let replaced = plannerLock.withLock { planner.replacement?.member }
        guard try array.endRecovery() else { return false }
        let putInPlace = replaced.map { array.placing(role: $0) }
        return plannerLock.withLock {
            guard planner.endRecovery() else { return false }
            // Reads without the planner that are under way count no more; those to come may do without it.
            soundness.add(replaced == nil ? 1 : 2, ordering: .releasing)
            // Under the lock: nothing is planned meanwhile.
            putInPlace?()
            if let replaced { spaces[replaced].forgetAll() }
            return true
        }
    }
}
