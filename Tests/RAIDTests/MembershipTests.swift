import MDFormat
import MemberIO
import Testing

@testable import RAID

@Suite("Members that come and go")
struct MembershipTests {
    private static let starts: [MembershipTrial.Start] = {
        var starts = [MembershipTrial.Start(level: .raid0)]
        for spareCount in 0...2 {
            starts.append(MembershipTrial.Start(spareCount: spareCount))
            for role in Roles(count: 3) {
                var start = MembershipTrial.Start(spareCount: spareCount)
                start.successorRole = role
                starts.append(start)
                start.successorRole = nil
                for standing in [
                    .failed, .recovering(byteCount: 65536, isGuided: false), .recovering(byteCount: 0, isGuided: true),
                ] as [Membership.Seat.Standing] {
                    start.standings[role] = standing
                    starts.append(start)
                }
                start.standings[role] = .failed
                start.isAbsent = true
                starts.append(start)
            }
        }
        return starts
    }()

    /// The events that can come in a state.
    private static func events(_ membership: Membership) -> [Membership.Event] {
        var events: [Membership.Event] = [
            .marked, .replacementEnds(isFaulty: true), .replacementEnds(isFaulty: false),
        ]
        for role in Roles(count: 3) {
            events.append(.failed(role: role))
            events.append(.failed(role: role, hasWaitedInVain: true))
        }
        if membership.successor != nil || membership.recovering != nil {
            events += [.progress(byteCount: MembershipTrial.all), .recoveryIsComplete]
        }
        if let spare = membership.spares.first {
            if membership.missing.isEmpty && membership.successor == nil {
                events += Roles(count: 3).map { .replacementBegins(role: $0, by: spare) }
            }
            if membership.failedRoles.count == 1, membership.missing.count == 1, !membership.isLost,
                let role = membership.failedRoles.first
            {
                events.append(
                    .spareTakesRole(role: role, spare, isGuided: true, displacing: membership.seats[role].member))
                events.append(.spareTakesRole(role: role, spare, isGuided: false, displacing: nil))
            }
        }
        return events
    }

    /// No failure, and each set of failures of which one half, or all or none, say something of the member.
    private static func outcomes(_ places: [Place]) -> [Membership.Failures] {
        (0..<1 << places.count).flatMap { set in
            let failed = places.indices.filter { set >> $0 & 1 != 0 }.map { places[$0] }.sorted()
            let half = Array(failed.prefix((failed.count + 1) / 2))
            let choices = failed.isEmpty ? [[]] : failed.count == 1 ? [[], failed] : [[], half, failed]
            return choices.map { Membership.Failures(places: failed, untold: $0) }
        }
    }

    @Test("every event in every state keeps its promises, however its writes go", arguments: starts)
    func promises(start: MembershipTrial.Start) {
        let trial = MembershipTrial(start)
        trial.checkEnd()
        for event in Self.events(trial.membership) where Self.mayCome(event, start) {
            let ends = trial.after(event, outcomes: Self.outcomes)
            #expect(!ends.isEmpty)
            for end in ends { end.checkEnd() }
        }
    }

    @Test("so does the event after it", arguments: starts.filter { $0.spareCount == 1 && !$0.isAbsent })
    func twoEvents(start: MembershipTrial.Start) {
        let trial = MembershipTrial(start)
        for first in Self.events(trial.membership) where Self.mayCome(first, start) {
            let outcomes: ([Place]) -> [Membership.Failures] = {
                [Membership.Failures(), Membership.Failures(places: $0, untold: Array($0.prefix(1)))]
            }
            for middle in trial.after(first, outcomes: outcomes) {
                for second in Self.events(middle.membership) {
                    for end in middle.after(second, outcomes: Self.outcomes) { end.checkEnd() }
                }
            }
        }
    }

    /// RAID 0 has only failures and changes of its state.
    private static func mayCome(_ event: Membership.Event, _ start: MembershipTrial.Start) -> Bool {
        switch event {
        case .failed(_, let hasWaitedInVain): start.level == .raid5 || !hasWaitedInVain
        case .marked: true
        default: start.level == .raid5
        }
    }

    @Test("a member that is complete is written before the others")
    func completeFirst() {
        for standing in [Membership.Seat.Standing.inSync, .recovering(byteCount: 0, isGuided: false)] {
            var start = MembershipTrial.Start()
            start.standings[1] = standing
            if standing == .inSync { start.successorRole = 1 }
            var membership = MembershipTrial(start).membership
            let effects = membership.handle(.recoveryIsComplete)
            let states = effects.compactMap { if case .writeState(let place) = $0 { place } else { nil } }
            #expect(states == [1, 0, 2])
        }
    }

    @Test("what cannot be recorded ends the array, and nothing is written any more")
    func notRecorded() {
        var membership = MembershipTrial(MembershipTrial.Start()).membership
        #expect(membership.handle(.failed(role: 0)).last == .collect)
        #expect(
            membership.written(Membership.Failures(places: [1], untold: [1]))
                == [.reportFailure, .plan(.failed(role: 0, isRecorded: false))])
        #expect(membership.isLost)
        #expect(membership.handle(.marked) == [])
        #expect(membership.handle(.failed(role: 2)).last == .plan(.failed(role: 2, isRecorded: false)))
    }
}
