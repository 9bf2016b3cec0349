import MDFormat
import MemberIO

/// Names a member among those that an open array knows.
package struct MemberID: Hashable, Sendable {
    private let number: Int

    /// - Parameter number: not used for another member of the array.
    package init(_ number: Int) { self.number = number }
}

/// Who is a member of an array, and in which order a change of that becomes known.
///
/// An *event* (`handle`) changes the state and answers with *effects*, which the caller carries out one after another:
/// it writes superblocks, tells the planner, reports to the user. The effects of an event end with `.collect` when the
/// rest depends on the outcome of the writes; the caller gives that to `written`, which answers with the next effects,
/// until there are none.
///
/// Two rules hold for every list. What the present members have to record is written before the planner is told, since
/// from then on requests are answered that the change allows. And a change that could not be recorded fails the members
/// that do not know it: one of them must not be opened later in place of those that went on.
///
/// The value does no I/O and knows members by their IDs only. The superblocks are md's: `OpenedArray` keeps them.
package struct Membership: Sendable, Equatable {
    /// What has a role.
    package struct Seat: Sendable, Equatable {
        /// How far a member can be relied on.
        package enum Standing: Sendable, Equatable {
            case inSync
            case recovering(byteCount: UInt64, isGuided: Bool)
            case failed
        }

        /// The member that has the role, or had it last; nil for none.
        package var member: MemberID?
        /// How far that member can be relied on.
        package var standing: Standing

        package init(_ member: MemberID?, _ standing: Standing) {
            precondition(member != nil || standing == .failed, "nobody is no member in service")
            self.member = member
            self.standing = standing
        }
    }

    /// A member that is being filled to take a role whose member is in service.
    package struct Successor: Sendable, Equatable {
        /// The role that it is to take.
        package let role: Role
        /// The member at the replacement's place.
        package let member: MemberID
        /// The number of bytes at the start of its data area that it is known to have.
        package internal(set) var byteCount: UInt64

        package init(role: Role, member: MemberID, byteCount: UInt64) {
            self.role = role
            self.member = member
            self.byteCount = byteCount
        }
    }

    /// The change whose writes are under way.
    enum Change: Sendable, Equatable {
        case failing(role: Role, ended: MemberID?)
        case continuing(role: Role, old: MemberID?, new: MemberID)
        case givingUp(MemberID, isFaulty: Bool)
        case beginning(role: Role, MemberID)
        case activating(role: Role, MemberID, isGuided: Bool)
        case progressing
        case completing(role: Role)
        case switching(old: MemberID?, new: Successor)
        /// Nobody comes or goes.
        case marking
    }

    let level: RAIDLevel
    let isReadOnly: Bool
    /// By role.
    package internal(set) var seats: [Seat]
    /// The member at the replacement's place; nil for none, and while a member is missing.
    package internal(set) var successor: Successor?
    /// Members without a role, which may take one.
    package internal(set) var spares: [MemberID]
    /// Members that failed and whose role has gone to another.
    package internal(set) var former: [MemberID] = []
    /// Whether more members failed than the array survives. Final: the superblocks stay as they are then, since they
    /// record which members belong together.
    package internal(set) var isLost = false
    /// Nil while no event is carried out.
    var change: Change?
    /// Whether all members have the new state, and are told that.
    var isSettling = false

    package init(
        level: RAIDLevel, isReadOnly: Bool, seats: [Seat], successor: Successor?, spares: [MemberID]
    ) {
        self.level = level
        self.isReadOnly = isReadOnly
        self.seats = seats
        self.successor = successor
        self.spares = spares
        precondition(seats.count { $0.isRecovering } <= 1, "one member at a time is rebuilt")
    }

    // MARK: Who is there

    /// The place of a member that is to take a role: behind all roles.
    package var replacementPlace: Place { Place(rawValue: UInt8(seats.count)) }

    /// All roles.
    package var roles: Roles { Roles(count: seats.count) }

    /// All places: those of the roles, then the replacement's.
    package var places: [Place] { roles.map { Place($0) } + [replacementPlace] }

    /// The role that a place is of; nil for the replacement's place.
    package func role(at place: Place) -> Role? {
        assert(place <= replacementPlace, "the array has no such place")
        return place < replacementPlace ? Role(rawValue: place.rawValue) : nil
    }

    /// The roles whose members are gone, and are not being rebuilt.
    package var failedRoles: Set<Role> { Set(roles.filter { seats[$0].standing == .failed }) }

    /// The member that is being rebuilt; nil for none.
    package var recovering: RecoveringMember? {
        for role in roles {
            if case .recovering(let byteCount, let isGuided) = seats[role].standing {
                return RecoveringMember(role: role, byteCount: byteCount, isGuided: isGuided)
            }
        }
        return nil
    }

    /// The roles that are not in sync.
    package var missing: Set<Role> { Set(roles.filter { seats[$0].standing != .inSync }) }

    /// The roles whose members are written to: those in sync, then the one being rebuilt. That comes last: with the
    /// newest state on it alone, no other member would know its role.
    package var present: [Role] {
        roles.filter { seats[$0].standing == .inSync } + (recovering.map { [$0.role] } ?? [])
    }

    /// The places whose members are written to: the present roles, then the place of a member that is to take one.
    package var placesInUse: [Place] {
        present.map { Place($0) } + (successor == nil ? [] : [replacementPlace])
    }

    /// Whether the array has lost more members than it can do without.
    package var hasFailed: Bool { isLost || missing.count > level.redundancy }

    /// Whether the array uses the member at a place.
    package func isInUse(place: Place) -> Bool { role(at: place).map { seats[$0].standing != .failed } ?? true }

    /// Whether the member at a place is in use and the array cannot do without it.
    package func isNeeded(place: Place) -> Bool {
        guard isInUse(place: place) else { return false }
        if level.redundancy == 0 { return true }
        guard hasFailed || !missing.isEmpty, let role = role(at: place) else { return false }
        return seats[role].standing == .inSync
    }

    // MARK: Spares

    /// Notes a member that can take a role.
    /// - Parameter index: its position among the spares; nil for the last.
    package mutating func add(spare: MemberID, at index: Int? = nil) {
        precondition(!spares.contains(spare), "a spare is there once")
        spares.insert(spare, at: index ?? spares.endIndex)
    }

    /// Takes a spare away.
    /// - Returns: its position among the spares; nil if it is none.
    @discardableResult
    package mutating func take(spare: MemberID) -> Int? {
        guard let index = spares.firstIndex(of: spare) else { return nil }
        spares.remove(at: index)
        return index
    }

    /// Forgets a member that has no role in service.
    package mutating func forget(_ member: MemberID) {
        for role in roles where seats[role].member == member {
            precondition(seats[role].standing == .failed, "the member is in use")
            seats[role].member = nil
        }
        former.removeAll { $0 == member }
    }

    /// Moves the member that was to replace another to the spares, in memory only.
    package mutating func dropSuccessor() {
        guard let dropped = successor else { return }
        successor = nil
        spares.append(dropped.member)
    }
}

extension Membership.Seat {
    var isRecovering: Bool { if case .recovering = standing { true } else { false } }
}
