import ArrayStore
import MDFormat
import MemberIO
import Platform
import RAID

/// What users ask for. Any thread.
extension LiveArray {
    /// Begins a check or a repair.
    /// - Returns: the job's number.
    package func begin(_ job: MaintenanceSchedule.Job) throws(OperationError) -> UInt64 {
        try checkIsRedundant(else: "it has no parity to \(job.rawValue)")
        try checkIsWhole(else: "its parity cannot be checked")
        // The new job makes an interrupted one that waits for a rebuild superfluous.
        _ = store.takeInterruptedJob()
        guard let number = maintenance.begin(MaintenanceSchedule(job, geometry: geometry), of: self) else {
            throw OperationError("\(name) is busy or about to be stopped; try again")
        }
        return number
    }

    /// Ends the running check, repair or replacement.
    /// - Throws: when none of these is under way.
    package func cancelJob() throws(OperationError) {
        let isReplacing = plannerLock.withLock { planner.replacement != nil }
        // A replacement whose old member has failed is a rebuild by now.
        let isCancelled = (isReplacing || maintenance.job != .replace) && maintenance.cancel()
        guard !endReplacement(), !isCancelled else { return }
        throw OperationError("no check, repair or replacement of \(name) is under way")
    }

    /// Checks that a member could be replaced now.
    /// - Throws: the reason why not.
    package func checkMayReplace() throws(OperationError) {
        try checkIsRedundant(else: "its members cannot be replaced")
        if let replacing = store.replacementState {
            throw OperationError("member \(replacing.role) of \(name) is being replaced; let that end first")
        }
        try checkIsWhole(else: "no other one can be replaced")
    }

    /// Begins to replace a member by a spare. The member serves meanwhile.
    /// - Parameter path: the spare's path; nil for any spare.
    package func replace(role: Role, by path: String?) throws(OperationError) {
        try checkMayReplace()
        do throws(ArrayStoreError) {
            guard try beginReplacement(of: role, by: path) else {
                throw ArrayStoreError("\(name) is busy with the end of the last replacement; try again")
            }
        } catch { throw OperationError(error.description, cause: error) }
        maintenance.wake()
    }

    /// Takes a member out of service, as `nbdext fail` does.
    /// - Throws: when the array would be lost without the member, or the member has failed already.
    package func fail(role: Role) throws(OperationError) {
        try checkIsRedundant(else: "it would be lost without member \(role)")
        let others = store.failedMembers.filter { $0 != role }
        guard others.isEmpty else {
            throw OperationError(
                "\(name) lacks member \(others[0]) already, and would be lost without member \(role) too; let member "
                    + "\(others[0]) be rebuilt first")
        }
        let isFailed = store.memberStates.contains { $0.role == role && $0.condition == .failed }
        guard !isFailed else { throw OperationError("member \(role) of \(name) has failed already") }
        memberFailed(Place(role))
    }

    /// The number of bitmap regions that were written to while a member was away, and of all regions.
    package var writtenRegions: (count: Int, total: Int) { plannerLock.withLock { planner.writtenRegions } }

    /// Wakes the maintenance after a spare was added.
    package func lookForSpare() { maintenance.wake() }

    // MARK: The maintenance thread

    /// Does all maintenance that can be done now. On the maintenance thread.
    /// - Parameters:
    ///   - lane: the same one each time.
    ///   - now: nanoseconds of a clock that does not go back.
    package func maintain(on lane: EngineLane, now: UInt64) -> MaintenancePause {
        maintenance.run(self, on: lane, now: now)
    }

    /// Waits until the maintenance is woken, or the time is up.
    package func waitForMaintenance(milliseconds: Int) { maintenance.wait(milliseconds: milliseconds) }

    /// Ends the maintenance; a rebuild goes on when the array is opened again. The caller goes on calling
    /// `maintain` until it returns `.idle`.
    package func suspendMaintenance() { maintenance.suspend() }

    // MARK: Conditions

    /// Checks that the array is of RAID 5, and may be written to.
    /// - Parameter consequence: what follows from RAID 0; the end of a sentence.
    private func checkIsRedundant(else consequence: String) throws(OperationError) {
        guard geometry.level == .raid5 else { throw OperationError("\(name) is a RAID 0 array: \(consequence)") }
        guard !isReadOnly else {
            throw OperationError("\(name) is served read-only; serve it without --read-only")
        }
    }

    /// Checks that no job is under way and no member missing.
    /// - Parameter consequence: what cannot be done without the missing member; the end of a sentence.
    private func checkIsWhole(else consequence: String) throws(OperationError) {
        if let running = maintenance.job {
            throw OperationError("a \(running.rawValue) of \(name) is under way; let it end first")
        }
        guard !isSound else { return }
        let missing = store.failedMembers.map(\.description).joined(separator: ", ")
        guard store.health != .failed else {
            throw OperationError(
                "\(name) has failed, since it lacks members \(missing): bring them back, and serve it again")
        }
        throw OperationError(
            "\(name) lacks a member (\(missing)), so \(consequence); add one and let it be rebuilt first: nbdext add")
    }
}
