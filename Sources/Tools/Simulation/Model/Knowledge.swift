import MDFormat

/// The state that an array's superblocks must record, or may record.
struct Knowledge {
    /// The parts that a disk can have in the array when the array is opened.
    struct Part: OptionSet {
        let rawValue: UInt8
        /// A member with all data of its role.
        static let inSync = Part(rawValue: 1)
        /// A member that is being rebuilt.
        static let recovering = Part(rawValue: 2)
        static let spare = Part(rawValue: 4)
        /// Not a member, or one that has missed writes.
        static let out = Part(rawValue: 8)
        /// A replacement of a member that serves.
        static let replacing = Part(rawValue: 16)
    }

    /// Knowledge of one disk.
    struct Disk {
        /// The parts that the superblocks of this disk and of the others may give it.
        var may: Part
        /// The role that the disk has, or had last.
        var role: Role?
        /// The disk is not there when the array is opened.
        var isAbsent = false
    }

    /// By the number of the disk.
    var disks: [Disk]
    /// The bytes of the recovering member's (or the replacement's) data area that are at least recorded as durable.
    var recoveredByteCount: UInt64 = 0
    /// The superblocks say that parity may be wrong.
    var isDirty = false
    /// The superblocks say that parity is right. With both false, they may say either.
    var isClean = true

    private let memberCount: Int

    /// The first `memberCount` disks are the members.
    init(memberCount: Int) {
        self.memberCount = memberCount
        disks = Roles(count: memberCount).map { Disk(may: .inSync, role: $0) }
    }

    /// The disk that may be opened as the member in sync of a role.
    func holder(of role: Role) -> Int? {
        disks.firstIndex { $0.role == role && $0.may.contains(.inSync) && !$0.isAbsent }
    }

    /// The number of roles that no disk can have in sync when the array is opened.
    var outCount: Int { Roles(count: memberCount).count { holder(of: $0) == nil } }

    /// The number of roles that perhaps no disk has in sync when the array is opened.
    var outCountMax: Int {
        Roles(count: memberCount).count { mayLack($0, besides: nil) }
    }

    /// Whether, apart from the disk `number`, perhaps no disk has a role in sync when the array is opened.
    func mayLack(_ role: Role, besides number: Int?) -> Bool {
        let present = disks.indices.filter { $0 != number && disks[$0].role == role && !disks[$0].isAbsent }
        if present.contains(where: { disks[$0].may == .inSync }) { return false }
        // While the role passes from a member to its replacement, one of the two has it.
        let isGiven = present.contains { disks[$0].may == [.inSync, .out] }
        let isTaken = present.contains {
            disks[$0].may.isSuperset(of: [.inSync, .replacing]) && !disks[$0].may.contains(.recovering)
        }
        return !isGiven || !isTaken
    }
}
