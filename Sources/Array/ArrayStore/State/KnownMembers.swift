import RAID

/// The members of an open array, by the IDs by which `Membership` knows them.
struct KnownMembers {
    private var members: [MemberID: ArrayMember] = [:]
    private var addedCount = 0

    /// Gives a member an ID.
    mutating func add(_ member: ArrayMember) -> MemberID {
        defer { addedCount += 1 }
        let id = MemberID(addedCount)
        members[id] = member
        return id
    }

    subscript(id: MemberID) -> ArrayMember? {
        get { members[id] }
        set { members[id] = newValue }
    }

    /// Forgets all others.
    mutating func keep(only used: [MemberID]) { members = members.filter { used.contains($0.key) } }
}
