import MDFormat
import Platform
import RAID
import RemoteMembers

/// The lost servers of an array's members, and the decision whether to wait for them.
///
/// While the array can do without the lost members, they are given up after a moment, and the array goes on. Otherwise
/// the array is suspended: no operation on the lost members ends, no superblock is written and no member is failed,
/// until enough of them are back unchanged, or the time is up.
///
/// Threads: any. Messages are reported outside of the lock.
final class Outages: @unchecked Sendable {
    // SAFETY: all that changes is touched under `lock`.

    /// A suspension of the array.
    struct Suspension: Sendable, Equatable {
        /// The roles that are waited for.
        var members: [Role]
        /// The end of the suspension, seconds since 1970.
        var deadline: UInt64
    }

    /// What is known about a role's member.
    private struct Known {
        var outage: MemberOutage?
        /// The states that its superblock may have, reduced to the fields that are compared.
        var states: [MemberIdentity] = []
    }

    /// After a suspension, the time that the other lost members have to return, milliseconds.
    private static let returnGrace: UInt64 = 2000

    /// The longest suspension, milliseconds.
    private let limit: UInt64
    private let redundancy: Int
    private let name: String
    private let report: MessageSink
    /// Returns milliseconds of a monotonic clock.
    private let now: @Sendable () -> UInt64
    /// Returns seconds since 1970.
    private let clock: @Sendable () -> UInt64
    private let lock = Lock()
    /// By role.
    private var known: [Known] = []
    private var missing: Set<Role> = []
    private var isActive = false
    private var hasEnded = false
    /// Whether a suspension has ended without the lost members.
    private var wasInVain = false
    private var suspendedUntil: (monotonic: UInt64, wall: UInt64)?

    init(
        limitSeconds: Int, redundancy: Int, name: String, now: @escaping @Sendable () -> UInt64,
        clock: @escaping @Sendable () -> UInt64, report: @escaping MessageSink
    ) {
        limit = UInt64(limitSeconds) * 1000
        self.redundancy = redundancy
        self.name = name
        self.now = now
        self.clock = clock
        self.report = report
    }

    // MARK: For the array

    /// Sets the members of the roles, and the roles without which the array goes on.
    func set(members: [MemberOutage?], missing: Set<Role>) {
        lock.withLock {
            known = members.enumerated().map { index, outage in
                var before = index < known.count ? known[index] : Known()
                if before.outage !== outage {
                    before.outage?.state = nil
                    before = Known(outage: outage)
                }
                return before
            }
            self.missing = missing
            for outage in members { outage?.join(self) }
        }
    }

    /// Sets the superblock of a role's member, or the ones it may have while one is being written.
    func expect(_ superblocks: [MDSuperblock], of role: Role) {
        lock.withLock {
            if role.index < known.count { known[role].states = superblocks.map { MemberIdentity($0) } }
        }
    }

    /// Allows suspensions from now on.
    func begin() { lock.withLock { isActive = !hasEnded } }

    /// Ends the suspension, and allows no more: the array has failed or is being stopped.
    func end() {
        lock.withLock {
            hasEnded = true
            stopWaiting()
        }
    }

    /// Whether a suspension has ended without the lost members. The superblocks of the present members do not record
    /// that, so they still belong together with the lost ones.
    var hasWaitedInVain: Bool { lock.withLock { wasInVain } }

    /// The current suspension; nil when there is none.
    var suspension: Suspension? {
        lock.withLock {
            guard isActive, let suspendedUntil else { return nil }
            return Suspension(members: lostRoles, deadline: suspendedUntil.wall)
        }
    }

    // MARK: For members, by their outages

    fileprivate func lost(_ outage: MemberOutage, _ reason: String, grace: UInt64) {
        lock.withLock {
            guard isActive, !outage.isGivenUp, role(of: outage) != nil else {
                outage.isGivenUp = true
                return
            }
            outage.state = MemberOutage.State(reason: reason, graceEnd: now() + grace)
        }
        settle()
    }

    fileprivate func isAwaited(_ outage: MemberOutage) -> Bool {
        settle()
        return lock.withLock { outage.state != nil && !outage.isGivenUp }
    }

    fileprivate func isUnchanged(_ outage: MemberOutage, _ bytes: [UInt8]) -> Bool {
        let found = (try? MDSuperblock(parsing: bytes)).map { MemberIdentity($0) }
        let (isItself, isNews) = lock.withLock {
            let isItself = role(of: outage).map { known[$0].states.contains { $0 == found } } ?? false
            defer { outage.isRefused = !isItself }
            return (isItself, !isItself && !outage.isRefused)
        }
        if isNews {
            report(
                "\(outage.name) can be reached again but has changed since it was lost; \(name) does not use it",
                .warning)
        }
        return isItself
    }

    fileprivate func returned(_ outage: MemberOutage) {
        lock.withLock { outage.state = nil }
        settle()
    }

    // MARK: Decisions

    /// Under `lock`.
    private var roles: Roles { Roles(count: known.count) }

    /// Under `lock`.
    private func role(of outage: MemberOutage) -> Role? { roles.first { known[$0].outage === outage } }

    /// Under `lock`.
    private var lostRoles: [Role] { roles.filter { known[$0].outage?.state != nil } }

    /// Decides which lost members are waited for.
    private func settle() {
        var messages: [String] = []
        lock.withLock {
            let givenUp = roles.filter { known[$0].outage?.isGivenUp ?? false }
            let out = missing.union(givenUp)
            let (time, lost) = (now(), lostRoles)
            guard isActive else { return giveUp(lost) }
            if out.union(lost).count > redundancy {
                if suspendedUntil == nil {
                    suspendedUntil = (time + limit, clock() + limit / 1000)
                    messages.append(
                        "\(name) is suspended: waiting for \(text(lost)) until \(Self.timeText(suspendedUntil!.wall))")
                    messages += lost.map { "\(known[$0].outage!.name) is \(known[$0].outage!.state!.reason)" }
                }
                guard time >= suspendedUntil!.monotonic else { return }
                messages.append("\(name) no longer waits for \(text(lost))")
                stopWaiting()
                giveUp(lost)
            } else {
                if suspendedUntil != nil {
                    messages.append("\(name) goes on: enough of its members are back, unchanged")
                    suspendedUntil = nil
                    for role in lost { known[role].outage!.state!.graceEnd = time + Self.returnGrace }
                }
                giveUp(lost.filter { time >= known[$0].outage!.state!.graceEnd })
            }
        }
        for message in messages { report(message, .warning) }
    }

    /// Under `lock`.
    private func giveUp(_ lost: [Role]) {
        for role in lost {
            known[role].outage?.isGivenUp = true
            known[role].outage?.state = nil
        }
    }

    /// Under `lock`.
    private func stopWaiting() {
        wasInVain = wasInVain || suspendedUntil != nil
        suspendedUntil = nil
        isActive = false
    }

    private func text(_ roles: [Role]) -> String { "member \(roles.map(\.description).joined(separator: ", "))" }

    /// The time of day, UTC.
    static func timeText(_ seconds: UInt64) -> String {
        func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(two(seconds / 3600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60)) UTC"
    }
}

/// The fields of a superblock that tell a member from others, and from its own older and newer copies.
private struct MemberIdentity: Equatable {
    private let set: [UInt8]
    private let device: UInt32
    private let events: UInt64
    private let mark: UInt64

    init(_ superblock: MDSuperblock) {
        set = superblock.setUUID
        device = superblock.deviceNumber
        events = superblock.events
        mark = superblock.mark
    }
}

/// A member on another server for which its array may have to wait.
///
/// Threads: any.
package final class MemberOutage: OutageRule, @unchecked Sendable {
    // SAFETY: `owner` is touched under `lock`, the rest under the owner's.

    /// A loss that has not been decided yet.
    fileprivate struct State {
        let reason: String
        var graceEnd: UInt64
    }

    let name: String
    private let lock = Lock()
    private weak var owner: Outages?
    fileprivate var state: State?
    fileprivate var isGivenUp = false
    fileprivate var isRefused = false

    init(name: String) { self.name = name }

    fileprivate func join(_ outages: Outages) { lock.withLock { owner = outages } }

    private var array: Outages? { lock.withLock { owner } }

    package func lost(_ reason: String, grace: UInt64) { array?.lost(self, reason, grace: grace) }

    package var isAwaited: Bool { array?.isAwaited(self) ?? false }

    package func isUnchanged(superblock: [UInt8], hasFlushedWrites: Bool) -> Bool {
        array?.isUnchanged(self, hasFlushedWrites ? superblock : []) ?? false
    }

    package func returned() { array?.returned(self) }
}
