/// An array and its members.
package struct ArraySnapshot: Sendable, Equatable {
    package var name: String
    package var level: Int
    /// Where the array is on the HBA.
    package var target = 0
    package var logicalUnit = 0
    package var state = ArrayHealth.clean
    /// The roles of members that are gone.
    package var missingMembers: [Int] = []
    /// What RAID 5 writes had to read; nil for RAID 0.
    package var writes: WriteSnapshot?
    package var members: [MemberSnapshot] = []
    /// The maintenance that runs, or ran last; nil when there was none.
    package var job: JobSnapshot?

    /// A spare is about to take the place of a member, or has begun to.
    package var hasPendingRebuild = false

    package init(name: String, level: Int) {
        self.name = name
        self.level = level
    }

    func since(_ earlier: ArraySnapshot) -> ArraySnapshot {
        var difference = self
        if let writes, let before = earlier.writes {
            difference.writes = WriteSnapshot(
                fullStripe: writes.fullStripe.since(before.fullStripe),
                readModify: writes.readModify.since(before.readModify),
                reconstruct: writes.reconstruct.since(before.reconstruct))
        }
        for (index, before) in zip(members.indices, earlier.members) {
            difference.members[index].correctedReadErrorCount = members[index].correctedReadErrorCount.since(
                before.correctedReadErrorCount)
            for kind in members[index].kinds.indices {
                difference.members[index].kinds[kind] = members[index].kinds[kind].since(before.kinds[kind])
            }
        }
        return difference
    }
}

/// RAID 5 updates, by what they had to read first.
package struct WriteSnapshot: Sendable, Equatable {
    package var fullStripe: UInt64
    package var readModify: UInt64
    package var reconstruct: UInt64

    package init(fullStripe: UInt64, readModify: UInt64, reconstruct: UInt64) {
        self.fullStripe = fullStripe
        self.readModify = readModify
        self.reconstruct = reconstruct
    }
}

/// What went to one member.
package struct MemberSnapshot: Sendable, Equatable {
    package var role: Int
    /// Blocks that it could not read and that were written anew from the other members.
    package var correctedReadErrorCount: UInt64 = 0
    /// By `MemberCounters.kinds`.
    package var kinds = [MemberKindSnapshot](repeating: MemberKindSnapshot(), count: MemberCounters.kinds.count)

    package init(role: Int) { self.role = role }
}

/// The operations of one kind on a member.
package struct MemberKindSnapshot: Sendable, Equatable {
    package var operationCount: UInt64 = 0
    package var byteCount: UInt64 = 0

    package init() {}

    func since(_ earlier: MemberKindSnapshot) -> MemberKindSnapshot {
        var difference = MemberKindSnapshot()
        difference.operationCount = operationCount.since(earlier.operationCount)
        difference.byteCount = byteCount.since(earlier.byteCount)
        return difference
    }
}
