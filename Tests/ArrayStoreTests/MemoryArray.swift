import ArrayStore
import Glibc
import MDFormat
import MemberIO
import RAID
import Testing

extension OpenedArray {
    /// Flushes the member that is filled, and records how far it is.
    /// - Returns: whether it could be flushed.
    func recordRecovery(byteCount: UInt64) throws -> Bool {
        guard flushRecovering() else { return false }
        try recordRecovery(byteCount: byteCount, telling: nil)
        return true
    }
}

/// An array of three members in memory, and what it said.
final class MemoryArray {
    let messages = Messages()
    private(set) var members: [MemoryMember] = []
    let spare: MemoryMember
    private let descriptor = Glibc.open("/dev/null", O_RDWR)
    private let consistency: ArrayConsistency

    init(_ consistency: ArrayConsistency = .resync) throws {
        self.consistency = consistency
        let plan = ArrayStore.Plan(
            level: .raid5, memberCount: 3, byteCount: 256 << 10, chunkByteCount: 4096, name: "r",
            consistency: consistency)
        let byteCount = Int(plan.memberByteCount)
        let place = descriptor
        members = (0..<3).map {
            MemoryMember(name: "m\($0)", bytes: Array(repeating: 0, count: byteCount), place: .file(place))
        }
        spare = MemoryMember(name: "new", bytes: Array(repeating: 0, count: byteCount), place: .file(place))
        var generator = SystemRandomNumberGenerator()
        try ArrayStore.format(members, plan: plan, time: 1, using: &generator)
    }

    deinit { close(descriptor) }

    var all: [MemoryMember] { members + [spare] }

    func open() throws -> OpenedArray {
        try ArrayStore.open(members: all, directory: "here", readOnly: false, in: messages.environment)
    }

    /// Opens it with a spare, with member 1 being replaced, up to a boundary that is durable.
    func openReplacing(boundary: UInt64 = 0) throws -> OpenedArray {
        let array = try ArrayStore.open(members: members, directory: "here", readOnly: false, in: messages.environment)
        _ = try array.add(spare)
        try array.beginReplacement(of: 1, by: nil)
        if boundary > 0 { #expect(try array.recordRecovery(byteCount: boundary)) }
        return array
    }

    func superblock(_ member: MemoryMember) throws -> MDSuperblock {
        try MDSuperblock(parsing: member.bytes(at: 4096, count: 4096))
    }
}
