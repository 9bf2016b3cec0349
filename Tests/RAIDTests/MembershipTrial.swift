import MDFormat
import MemberIO
import Testing

@testable import RAID

/// One way that an event can go: a membership, what the planner believes of it, and the effects so far. Copies of it go
/// the other ways.
struct MembershipTrial {
    static let all: UInt64 = 4 * 65536
    static let successorID = MemberID(10)
    static func spareID(_ number: Int) -> MemberID { MemberID(20 + number) }

    /// A state to begin in.
    struct Start: CustomTestStringConvertible, Sendable {
        var level = RAIDLevel.raid5
        var standings: [Membership.Seat.Standing] = [.inSync, .inSync, .inSync]
        var successorRole: Role?
        var spareCount = 0
        /// A failed member is gone altogether.
        var isAbsent = false

        var testDescription: String {
            "\(level) \(standings)" + (successorRole.map { ", \($0) is replaced" } ?? "") + ", \(spareCount) spares"
                + (isAbsent ? ", a member is absent" : "")
        }
    }

    var membership: Membership
    var planner: PlannedMembers
    private var mustFail: [Place] = []
    /// Members that do not know a change.
    private var untold: Set<MemberID> = []
    private var hasPlanned = false
    private var round: [Membership.Effect] = []

    init(_ start: Start) {
        let seats = zip(Roles(count: 3), start.standings).map { role, standing in
            Membership.Seat(standing == .failed && start.isAbsent ? nil : MemberID(role.index), standing)
        }
        membership = Membership(
            level: start.level, isReadOnly: false, seats: seats,
            successor: start.successorRole.map {
                Membership.Successor(role: $0, member: Self.successorID, byteCount: Self.all)
            },
            spares: (0..<start.spareCount).map { Self.spareID($0) })
        let geometry = ArrayGeometry(
            level: start.level, memberCount: 3, chunkByteCount: 65536, memberDataByteCount: Self.all,
            dataByteOffset: 4096)
        planner = PlannedMembers(geometry: geometry, missing: membership.missing.min())
        if let role = membership.recovering?.role { _ = planner.begin(Recovery(member: role, boundary: Self.all)) }
        if let role = start.successorRole { planner.beginReplacement(Recovery(member: role, boundary: Self.all)) }
    }

    /// Takes an event, and goes all ways that its writes can go.
    /// - Parameter outcomes: from the places that are written to, the failures to try.
    /// - Returns: the ends.
    func after(
        _ event: Membership.Event, outcomes: ([Place]) -> [Membership.Failures]
    ) -> [MembershipTrial] {
        var trial = self
        trial.hasPlanned = false
        let effects = trial.membership.handle(event)
        return trial.following(effects, outcomes: outcomes)
    }

    private func following(
        _ effects: [Membership.Effect], outcomes: ([Place]) -> [Membership.Failures]
    ) -> [MembershipTrial] {
        var trial = self
        for effect in effects {
            if effect == .collect {
                trial.checkRound()
                return outcomes(trial.writtenPlaces).flatMap { failures in
                    var branch = trial
                    branch.round = []
                    branch.untold.formUnion(failures.untold.compactMap { trial.member(at: $0) })
                    let next = branch.membership.written(failures)
                    return branch.following(next, outcomes: outcomes)
                }
            }
            trial.carryOut(effect)
        }
        return trial.failingUntold()
    }

    /// Fails the members that do not know the change, as the array does, with writes that work.
    private func failingUntold() -> [MembershipTrial] {
        guard let place = mustFail.first else { return [self] }
        var trial = self
        trial.mustFail.removeFirst()
        let works: ([Place]) -> [Membership.Failures] = { _ in [Membership.Failures()] }
        if let role = membership.role(at: place) { return trial.after(.failed(role: role), outcomes: works) }
        if planner.replacement != nil { return trial.after(.replacementEnds(isFaulty: true), outcomes: works) }
        guard let role = planner.replacementRole else { return trial.failingUntold() }
        return trial.after(.failed(role: role), outcomes: works)
    }

    // MARK: Effects

    private mutating func carryOut(_ effect: Membership.Effect) {
        switch effect {
        case .plan(let step):
            hasPlanned = true
            plan(step)
        case .fail(let places): mustFail += places
        case .makeSpare(let member): membership.add(spare: member)
        case .draw, .writeHeader, .writeState, .settle:
            #expect(!hasPlanned, "\(effect) comes after the planner was told")
            #expect(!membership.isLost, "\(effect) is for an array that is lost")
            round.append(effect)
        case .enter, .seat, .noteDeparture, .remember, .revert, .report, .reportFailure, .collect: break
        }
    }

    private mutating func plan(_ step: Membership.Step) {
        switch step {
        case .failed(let role, let isRecorded):
            let isReplaced = planner.replacement?.member == role
            _ = planner.fail(role)
            if !isRecorded { _ = planner.fail(Role(index: (role.index + 1) % 3)) }
            if isReplaced && planner.recovery != nil { _ = planner.fail(role) }
        case .succeeded(let role):
            let hasSuccessor = planner.fail(role)
            #expect(hasSuccessor, "the planner knows of no replacement of \(role)")
        case .recoveryBegan(let role):
            let hasBegun = planner.begin(Recovery(member: role, boundary: Self.all))
            #expect(hasBegun, "the planner does not lack \(role)")
        case .recoveryEnded:
            let hasEnded = planner.endRecovery()
            #expect(hasEnded, "the planner knows of no recovery")
        case .replacementBegan(let role): planner.beginReplacement(Recovery(member: role, boundary: Self.all))
        case .replacementEnded: planner.endReplacement()
        }
    }

    private func member(at place: Place) -> MemberID? {
        guard let role = membership.role(at: place) else { return membership.successor?.member }
        return membership.seats[role].member
    }

    // MARK: Promises

    private var writtenPlaces: [Place] {
        round.compactMap { if case .writeState(let place) = $0 { place } else { nil } }
    }

    /// Each present member is written once: the bitmap's headers before all states, the recovering member behind those
    /// in sync unless it has just become complete, and the replacement last.
    private func checkRound() {
        let states = writtenPlaces
        let successor = membership.successor == nil ? [] : [membership.replacementPlace]
        #expect(states.sorted() == (membership.present.map { Place($0) } + successor).sorted(), "\(round)")
        #expect(successor.isEmpty || states.last == membership.replacementPlace, "\(round)")
        if let recovering = membership.recovering?.role {
            #expect(states.dropLast(successor.count).last == Place(recovering), "\(round)")
        }
        guard round.first != .settle else { return }
        let headers = round.compactMap { if case .writeHeader(let role) = $0 { role } else { nil } }
        #expect(headers == membership.present, "\(round)")
        let firstState = round.firstIndex { if case .writeState = $0 { true } else { false } }
        let lastHeader = round.lastIndex { if case .writeHeader = $0 { true } else { false } }
        #expect(lastHeader.map { $0 < firstState ?? 0 } ?? true, "\(round)")
    }

    /// What has to be so when all is done.
    func checkEnd() {
        let members =
            membership.seats.compactMap(\.member) + [membership.successor?.member].compactMap { $0 }
            + membership.spares + membership.former
        #expect(Set(members).count == members.count, "a member is in two places: \(membership)")
        #expect(membership.successor == nil || membership.missing.isEmpty || membership.isLost, "\(membership)")
        for place in membership.placesInUse {
            let isUntold = member(at: place).map { untold.contains($0) } ?? false
            #expect(!isUntold || membership.hasFailed, "\(place) does not know a change: \(membership)")
        }
        // The planner must not plan with a member that the superblocks say is gone, nor without one that they need.
        switch planner.state {
        case .failed: #expect(membership.hasFailed, "\(membership)")
        case .healthy:
            #expect(membership.missing.isEmpty, "\(membership)")
            #expect(planner.recovery?.member == membership.successor?.role, "\(membership)")
        case .degraded(let missing):
            #expect(membership.missing == [missing], "\(membership)")
            #expect((planner.recovery != nil) == (membership.recovering != nil), "\(membership)")
        }
    }
}
