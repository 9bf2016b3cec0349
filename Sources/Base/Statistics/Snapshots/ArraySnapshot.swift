/// An array and its members at one moment.
package struct ArraySnapshot: Sendable, Equatable, Codable {
    /// The name of the array's export.
    package var name: String
    /// The RAID level: 0 or 5.
    package var level: Int
    /// The array's SCSI target on the HBA.
    package var target = 0
    /// The array's logical unit of that target.
    package var logicalUnit = 0
    /// Whether the array can serve.
    package var state = ArrayHealth.clean
    /// The roles of members that are gone.
    package var missingMembers: [Int] = []
    /// RAID 5 updates by what they had to read first; nil for RAID 0.
    package var writes: WriteSnapshot?
    /// The members, by role.
    package var members: [MemberSnapshot] = []
    /// The maintenance that runs, or ran last; nil when there was none.
    package var job: JobSnapshot?
    /// A spare is about to take the place of a member, or has begun to.
    package var hasPendingRebuild = false

    package init(name: String, level: Int) {
        self.name = name
        self.level = level
    }

    private enum CodingKeys: String, CodingKey {
        case name, level, target
        case logicalUnit = "lun"
        case state
        case missingMembers = "missing"
        case writes, members, job
        case hasPendingRebuild = "pending_rebuild"
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
            for kind in MemberOperationKind.allCases {
                difference.members[index].kinds[kind] = members[index].kinds[kind].since(before.kinds[kind])
            }
        }
        return difference
    }
}

/// RAID 5 updates, by what they had to read first.
package struct WriteSnapshot: Sendable, Equatable, Codable {
    /// Updates of whole stripes, which read nothing.
    package var fullStripe: UInt64
    /// Updates that read the old data and the old parity.
    package var readModify: UInt64
    /// Updates that read the rest of the stripe.
    package var reconstruct: UInt64

    package init(fullStripe: UInt64, readModify: UInt64, reconstruct: UInt64) {
        self.fullStripe = fullStripe
        self.readModify = readModify
        self.reconstruct = reconstruct
    }

    private enum CodingKeys: String, CodingKey {
        case fullStripe = "full_stripe"
        case readModify = "read_modify"
        case reconstruct
    }
}

/// The I/O of one member.
package struct MemberSnapshot: Sendable, Equatable {
    /// The member's role in its array.
    package var role: Int
    /// Blocks that the member could not read and that were written anew from the other members.
    package var correctedReadErrorCount: UInt64 = 0
    /// What was counted of each kind.
    package var kinds = KindTable<MemberOperationKind, _> { _ in MemberKindSnapshot() }

    package init(role: Int) { self.role = role }
}

/// The operations of one kind on a member.
package struct MemberKindSnapshot: Sendable, Equatable, Codable {
    /// Operations; joined ones count once.
    package var operationCount: UInt64 = 0
    /// Bytes that the operations cover.
    package var byteCount: UInt64 = 0

    package init() {}

    private enum CodingKeys: String, CodingKey {
        case operationCount = "operations"
        case byteCount = "bytes"
    }

    func since(_ earlier: MemberKindSnapshot) -> MemberKindSnapshot {
        var difference = MemberKindSnapshot()
        difference.operationCount = operationCount.since(earlier.operationCount)
        difference.byteCount = byteCount.since(earlier.byteCount)
        return difference
    }
}
