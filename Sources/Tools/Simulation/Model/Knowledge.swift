/// What must be, and what may be, written on an array's members about its state.
struct Knowledge {
    /// What a member can be for the array when that is opened.
    struct Part: OptionSet {
        let rawValue: UInt8
        /// Everything that its role has is on it.
        static let inSync = Part(rawValue: 1)
        /// It is being rebuilt.
        static let recovering = Part(rawValue: 2)
        static let spare = Part(rawValue: 4)
        /// Not a member, or one that has missed something.
        static let out = Part(rawValue: 8)
        /// It is to take the role of one that is there.
        static let replacing = Part(rawValue: 16)
    }

    /// What is known of one disk.
    struct Disk {
        /// What its superblock and the others' may make of it.
        var may: Part
        /// The role that it has, or had last.
        var role: Int?
        /// It is not there when the array is opened.
        var isAbsent = false
    }

    /// By the number of the disk.
    var disks: [Disk]
    /// How much of the recovering member, or of a replacement, is durable at least, and said to be; bytes of its data area.
    var recoveredByteCount: UInt64 = 0
    /// The members say that parity may be wrong.
    var isDirty = false
    /// The members say that parity is right. Both false: one or the other.
    var isClean = true

    private let memberCount: Int

    /// The first disks are the members.
    init(memberCount: Int) {
        self.memberCount = memberCount
        disks = (0..<memberCount).map { Disk(may: .inSync, role: $0) }
    }

    /// The disk that may be opened as the member in sync that has a role.
    func holder(of role: Int) -> Int? {
        disks.firstIndex { $0.role == role && $0.may.contains(.inSync) && !$0.isAbsent }
    }

    /// The roles that an array must be opened without.
    var outCount: Int { (0..<memberCount).count { holder(of: $0) == nil } }

    /// The roles that it may be opened without.
    var outCountMax: Int {
        (0..<memberCount).count { mayLack($0, besides: nil) }
    }

    /// Whether an array may be opened without a member in sync that has a role, but for one disk.
    func mayLack(_ role: Int, besides number: Int?) -> Bool {
        let present = disks.indices.filter { $0 != number && disks[$0].role == role && !disks[$0].isAbsent }
        if present.contains(where: { disks[$0].may == .inSync }) { return false }
        // One of two has it: the role was about to go from one to the other.
        let isGiven = present.contains { disks[$0].may == [.inSync, .out] }
        let isTaken = present.contains {
            disks[$0].may.isSuperset(of: [.inSync, .replacing]) && !disks[$0].may.contains(.recovering)
        }
        return !isGiven || !isTaken
    }
}
