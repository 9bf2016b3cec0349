import MDFormat
import MemberIO
import Platform
import RAID

/// Waiting for lost members on other servers.
extension OpenedArray {
    /// Allows the array to be suspended, once it is served, when it has lost too many members on other servers.
    func mayWait(seconds: Int) {
        lock.withLock {
            outages = Outages(
                limitSeconds: seconds, redundancy: geometry.level.redundancy, name: name, now: monotonicMilliseconds,
                clock: environment.clock, report: environment.report)
            tellOutages()
            for role in membership.roles {
                outages!.expect(records.superblock(at: Place(role)).map { [$0] } ?? [], of: role)
            }
        }
    }

    /// Called when the array begins to be served: from then on it may wait for members.
    package func beginWaiting() { lock.withLock { outages }?.begin() }

    /// Ends all waiting, now and later, so that held operations fail. Does not take the array's lock, whose holder may
    /// be held too.
    package func endWaiting() { outages?.end() }

    /// Under `lock`.
    func tellOutages() {
        outages?.set(
            members: current.map { $0?.store.outage },
            missing: membership.missing)
    }

    /// Shows that the array is suspended, and for which members it waits.
    func show(_ suspension: Outages.Suspension?, in view: inout View) {
        guard let suspension, view.state != .failed else { return }
        let until = Outages.timeText(suspension.deadline)
        view.state = .suspended
        view.description.state = .suspended
        for index in view.description.members.indices {
            guard let role = view.description.members[index].role, suspension.members.contains(Role(index: role)) else {
                continue
            }
            view.description.members[index].state = "lost, and waited for until \(until)"
        }
    }
}
