import MDFormat
import MemberIO

extension Membership {
    /// What happens to an array's members.
    package enum Event: Sendable, Equatable {
        /// The member of a role does not work, or is taken out of service.
        /// - hasWaitedInVain: other lost members were waited for until the time was up.
        case failed(role: Role, hasWaitedInVain: Bool = false)
        /// A spare, which is prepared, begins to replace the member of a role.
        case replacementBegins(role: Role, by: MemberID)
        /// The member at the replacement's place is not to take the role any more.
        /// - isFaulty: it cannot be used any more; otherwise it is a spare again.
        case replacementEnds(isFaulty: Bool)
        /// A spare, which is prepared, gets the role of a failed member.
        /// - isGuided: it had the role before, and has missed what the bitmap knows.
        /// - displacing: the member that had the role last, if it is another one.
        case spareTakesRole(role: Role, MemberID, isGuided: Bool, displacing: MemberID?)
        /// The recovering member, or the replacement, has so many bytes, durably.
        case progress(byteCount: UInt64)
        /// The recovering member, or the replacement, has everything, durably.
        case recoveryIsComplete
        /// The array's state changes, and nobody comes or goes.
        case marked
    }

    /// What is to be done, one effect after the other.
    package enum Effect: Sendable, Equatable {
        // In memory: what the next state says.

        /// The state says of a member that it has this entry.
        case enter(MemberID, Entry)
        /// The superblock of a role is that of this member, from now on.
        case seat(role: Role, MemberID)
        /// The mark of the role's member is that with which it left.
        case noteDeparture(role: Role)
        /// The present records of a role and of the replacement are kept for `revert`.
        case remember(role: Role)
        /// The records are again what they were at `remember`, but for the count of changes.
        case revert
        /// A new state begins.
        /// - isWhole: whether no member is missing.
        case draw(isWhole: Bool)
        /// All members have the state.
        case settle

        // On the members, durably. A write that fails keeps none of the others back: their members would be stale.

        /// Writes the bitmap's header to the member of a role. One with fewer events than the superblock counts as out
        /// of date, so it is written first.
        case writeHeader(role: Role)
        /// Writes the state to the member at a place.
        case writeState(place: Place)
        /// The outcome of the writes goes to `written`.
        case collect
        /// Gives a member the superblock of a spare, and then adds it to the spares, if that can be done.
        case makeSpare(MemberID)

        // For others.

        /// Tells the planner and the lanes, in one step.
        case plan(Step)
        /// Fails the members at these places, which do not know the change.
        case fail(places: [Place])
        /// Tells the user.
        case report(News)
        /// Tells the user why the writes failed.
        case reportFailure
    }

    /// What the superblocks say of a member.
    package enum Entry: Sendable, Equatable {
        case role(Role)
        case spare
        case faulty
    }

    /// A step of those who plan and carry out I/O.
    package enum Step: Sendable, Equatable {
        /// The member of a role gets no I/O any more.
        /// - isRecorded: the survivors know it. Otherwise nothing tells them apart from it later, and the array must
        ///   not go on.
        case failed(role: Role, isRecorded: Bool)
        /// The same, and the member at the replacement's place has the role, up to where it is filled.
        case succeeded(role: Role)
        case recoveryBegan(role: Role)
        /// - replaced: the role that the member at the replacement's place has now; nil if a member was rebuilt.
        case recoveryEnded(replaced: Role?)
        case replacementBegan(role: Role)
        case replacementEnded
    }

    /// What the user is told.
    package enum News: Sendable, Equatable {
        /// The array goes on without the member of a role.
        case goesOnWithout(role: Role)
        /// It cannot go on without it.
        case isLostWith(role: Role)
        /// It cannot go on, since lost members did not come back in time.
        case isLostInVain
        case beginsReplacement(role: Role, MemberID)
        case endsReplacement(role: Role, MemberID, isFaulty: Bool)
        /// The replacement goes on as a rebuild.
        case goesOnRebuilding(role: Role, MemberID)
        case rebuilds(role: Role, MemberID, isGuided: Bool)
        case isUpToDate(role: Role)
        case isReplaced(role: Role, old: MemberID?, new: MemberID)
    }

    /// The writes of a change that failed.
    package struct Failures: Sendable, Equatable {
        /// The places of the members that do not have the state.
        package var places: [Place] = []
        /// Those of them that have to be failed. The others' system refused the write, which says nothing about the
        /// member: they get the state with the next change.
        package var untold: [Place] = []

        package init(places: [Place] = [], untold: [Place] = []) {
            self.places = places
            self.untold = untold
        }
    }
}
