import MDFormat
import MemberIO
import RAID

/// What the superblocks of an open array say, as it was written last or found.
struct MemberRecords {
    /// The array's state, as all members are told it.
    var newest: MDSuperblock
    /// By role, then of the replacement's place: the superblock of the member there; nil if there was none.
    private var superblocks: [MDSuperblock?]
    /// The mark that each role's member is known to have; 0 for none.
    private(set) var knownMarks: [UInt64]
    /// What `revert` brings back.
    private var kept:
        (newest: MDSuperblock, role: Role, superblock: MDSuperblock?, successor: MDSuperblock?, mark: UInt64)?

    /// The index of the replacement's place, which is the last.
    private var last: Int { superblocks.count - 1 }

    /// What was found when the array was opened.
    /// - Parameters:
    ///   - forcedRoles: roles that were given back to members which the others record as gone.
    init(
        of membership: Membership, _ known: KnownMembers, newest: MDSuperblock, forcedRoles: Set<Role>
    ) {
        self.newest = newest
        let members = membership.seats.map { seat in seat.member.flatMap { known[$0] } }
        superblocks = members.map { member in
            var own = member?.superblock
            // A replacement whose predecessor is gone is a normal member.
            own?.features.remove(.replacement)
            return own
        }
        superblocks.append(membership.successor.flatMap { known[$0.member]?.superblock })
        knownMarks = members.map { $0?.superblock.mark ?? 0 }
        for role in forcedRoles {
            guard let device = members[role]?.superblock.deviceNumber else { continue }
            self.newest.setRole(role.entry, ofDevice: device)
        }
        // A missing member that the others do not record as failed had the same state as they have.
        let failed = membership.failedRoles.min()
        if self.newest.lineage?.departed == 0, let role = failed, newest.device(withRole: role.entry) != nil {
            let mark = newest.mark
            self.newest.lineage?.departed = mark
        }
    }

    /// The superblock of the member at a place; nil if there is none.
    func superblock(at place: Place) -> MDSuperblock? { superblocks[place.index] }

    /// Sets what a member's superblock says next.
    mutating func set(_ superblock: MDSuperblock?, at place: Place) { superblocks[place.index] = superblock }

    /// Notes that a role's member has its superblock.
    mutating func noteWritten(role: Role) { knownMarks[role] = superblocks[role]!.mark }

    // MARK: Effects of a change of members

    /// Enters in the state what a member is.
    mutating func enter(_ member: ArrayMember, _ entry: Membership.Entry) {
        let value =
            switch entry {
            case .role(let role): role.entry
            case .spare: MDSuperblock.roleSpare
            case .faulty: MDSuperblock.roleFaulty
            }
        newest.setRole(value, ofDevice: member.superblock.deviceNumber)
    }

    /// Gives a role's record to a member: that of the replacement's place, or a spare's.
    mutating func seat(_ member: ArrayMember, role: Role) {
        var own = member.superblock
        if let successor = superblocks[last], successor.deviceNumber == own.deviceNumber {
            own = successor
            knownMarks[role] = own.mark
        } else {
            // The array may have been renamed while the member was away.
            own.setName = newest.setName
            knownMarks[role] = 0
        }
        own.features.remove(.replacement)
        superblocks[role] = own
    }

    /// Notes that a member with the mark that it has will be missing.
    mutating func noteDeparture(role: Role) {
        let mark = knownMarks[role]
        newest.lineage?.departed = mark
    }

    /// Keeps the records of a role, and of the replacement's place, for `revert`.
    mutating func remember(role: Role) {
        kept = (newest, role, superblocks[role], superblocks[last], knownMarks[role])
    }

    /// Brings back what was kept. The count of changes and the marks go on: some members have the later state.
    mutating func revert() {
        guard let kept else { preconditionFailure("nothing was kept") }
        let (events, lineage) = (newest.events, newest.lineage)
        newest = kept.newest
        newest.events = events
        newest.lineage = lineage
        superblocks[kept.role] = kept.superblock
        superblocks[last] = kept.successor
        knownMarks[kept.role] = kept.mark
        self.kept = nil
    }

    /// Begins a new state.
    /// - Parameters:
    ///   - mark: a random number.
    ///   - failedRoles: the roles whose devices count as faulty, an absent replacement of theirs included.
    mutating func draw(mark: UInt64, time: UInt64, isWhole: Bool, failedRoles: Set<Role>) {
        newest.events += 1
        newest.updateTime = time
        newest.draw(mark: mark, isWhole: isWhole)
        for role in failedRoles {
            while let device = newest.device(withRole: role.entry) {
                newest.setRole(MDSuperblock.roleFaulty, ofDevice: device)
            }
        }
    }
}
