import Glibc
import HostileInput
import MDFormat
import MemberIO
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

@testable import ArrayStore

/// Values in members' metadata that were found to end the program, or to lead somewhere that they should not.
@Suite("Metadata that cannot be", .blocks)
struct DamagedMetadataTests {
    private func image(
        _ kind: ArrayConsistency? = .resync, isDirty: Bool = false, _ changes: MetadataChange...
    ) throws -> [SparseMember] {
        let image = try MetadataImage(kind, isDirty: isDirty, isRebuilding: false)
        for change in changes { try image.apply(change) }
        image.repairChecksums()
        return image.members
    }

    private func superblock(_ offset: Int, _ width: Int, _ value: UInt64, member: Int? = nil) -> MetadataChange {
        MetadataChange(member: member, area: .superblock, offset: offset, width: width, value: value)
    }

    private func open(_ members: [SparseMember], force: Bool = false) throws -> OpenedArray {
        let environment = ArrayStore.Environment(clock: { 1 }, report: { _, _ in }, makeBay: { IdleBay() })
        return try ArrayStore.open(members: members, directory: "here", readOnly: false, force: force, in: environment)
    }

    /// Why an array is refused, which has not been written to.
    private func refusal(_ members: [SparseMember], force: Bool = false) -> String {
        let writeCounts = members.map(\.writeCount)
        defer { #expect(members.map(\.writeCount) == writeCounts) }
        do { _ = try open(members, force: force) } catch { return "\(error)" }
        return "it was opened"
    }

    @Test(
        "a count of events that no array gets to is a damaged superblock",
        arguments: [.max, .max - 1, 1 << 63] as [UInt64])
    func events(count: UInt64) throws {
        #expect(refusal(try image(.resync, superblock(200, 8, count))).contains("it counts \(count) events"))
        // One member alone is left out, and the others are believed.
        let members = try image(.bitmap, superblock(200, 8, count, member: 1))
        let array = try open(members)
        #expect(array.failedMembers == [1])
        try array.markDirty()
        try array.markClean()
        let largest = try open(try image(.resync, superblock(200, 8, 1 << 63 - 1)))
        try largest.markDirty()
        try largest.markClean()
    }

    @Test(
        "a spare whose number the role table has no entry for gets another one",
        arguments: [4, 128, 0xFFFF, 1 << 31] as [UInt64])
    func deviceNumber(number: UInt64) throws {
        let array = try open(try image(.resync, superblock(160, 4, number, member: 3)))
        try array.markDirty()
        #expect(array.recordFailure(role: 1))
        #expect(try array.activateSpare()?.role == 1)
        #expect(try array.endRecovery())
        let replaced = try open(try image(.resync, superblock(160, 4, number, member: 3)))
        try replaced.beginReplacement(of: 0, by: nil)
        #expect(try replaced.endRecovery())
    }

    @Test("a role table that is too short has no room for a spare, and that is said")
    func roleTable() throws {
        let array = try open(try image(.resync, superblock(220, 4, 2)))
        #expect(array.failedMembers == [2])
        #expect(throws: ArrayStoreError.self) { try array.activateSpare() }
    }

    @Test("sizes beyond any array are refused, also when all members are shorter")
    func sizes() throws {
        let members = try image(.resync, superblock(80, 8, 1 << 52), superblock(136, 8, 1 << 52))
        #expect(refusal(members).contains("more than 2 EiB"))
        #expect(throws: ArrayStoreError.self) { try ArrayStore.describe(members, directory: "here") { _, _ in nil } }
    }

    @Test("a member that says it is rebuilt beyond its end is rebuilt to its end")
    func recoveryOffset() throws {
        for sectors: UInt64 in [.max, 1 << 55, .max / 512 + 1] {
            let members = try image(.resync, superblock(8, 4, 2, member: 2), superblock(152, 8, sectors, member: 2))
            let array = try open(members)
            #expect(array.recoveringMember?.byteCount == array.geometry.memberDataByteCount)
        }
    }

    @Test("bitmaps of two shapes are not mixed, and neither is believed alone")
    func bitmapShapes() throws {
        let members = try image(
            .bitmap, isDirty: true,
            MetadataChange(member: 1, area: .bitmap, offset: 52, width: 4, value: 128 << 20))
        let scan = try MemberScan(members, directory: "here")
        guard case .stale = try MemberBitmap.read(scan) else {
            Issue.record("bits of the other one are lost")
            return
        }
    }

    @Test("a bitmap of more regions than are served is refused, and not read")
    func largeBitmap() throws {
        // Data begins at 1 TiB, so that there is room for 2^31 bits.
        let offset: UInt64 = 1 << 31
        let changes = [
            superblock(128, 8, offset),
            MetadataChange(member: nil, area: .size, offset: 0, width: 8, value: 1 << 42),
            MetadataChange(member: nil, area: .bitmap, offset: 40, width: 8, value: 1 << 31),
            MetadataChange(member: nil, area: .bitmap, offset: 52, width: 4, value: 512),
        ]
        let image = try MetadataImage(.bitmap, isDirty: false, isRebuilding: false)
        for change in changes { try image.apply(change) }
        image.repairChecksums()
        #expect(refusal(image.members).contains("a bitmap of 2147483648 regions"))
    }

    @Test("a bitmap is written only where it fits on every member")
    func bitmapRoom() throws {
        let image = try MetadataImage(.bitmap, isDirty: true, isRebuilding: false)
        // The largest bits that mdadm makes for the place of all members but one, which has its own just before the
        // data.
        let last = image.geometry.dataByteOffset / 512 - 8 - 8
        try image.apply(superblock(96, 4, last, member: 1))
        for offset in [40, 52] {
            let value: UInt64 = offset == 40 ? 1 << 16 : 512
            try image.apply(
                MetadataChange(member: nil, area: .bitmap, offset: offset, width: offset == 40 ? 8 : 4, value: value))
        }
        image.repairChecksums()
        #expect(refusal(image.members).contains("does not fit in front of every member's data"))
    }

    @Test("a spare that has its data at another place is left out")
    func otherPlaces() throws {
        let members = try image(.resync, superblock(128, 8, 1024, member: 3))
        let description = try ArrayStore.describe(members, directory: "here") { _, _ in nil }
        #expect(description.members.last?.state.contains("other places") == true, "\(description.members)")
    }

    @Test("logs that are too small are refused before anything is written")
    func smallLogs() throws {
        let members = try image(.ppl, isDirty: true, superblock(98, 2, 24))
        #expect(refusal(members).contains("at least 68 are needed"))
    }

    @Test("a FIFO or a link where a check is recorded is no record, and nothing is waited for")
    func jobFile() throws {
        let temporary = TemporaryDirectory()
        let directory = temporary.path
        let geometry = ArrayGeometry(
            level: .raid5, memberCount: 3, chunkByteCount: 65536, memberDataByteCount: 1 << 20, dataByteOffset: 1 << 20)
        let file = JobFile(directory: directory, uuid: Array(repeating: 1, count: 16))
        let record = MaintenanceRecord(job: .check, position: 65536, wrongByteCount: 0, wrongPlaces: [])
        #expect(mkfifo("\(directory)/.nbdext-job", 0o600) == 0)
        #expect(file.read(geometry) == nil)
        #expect(unlink("\(directory)/.nbdext-job") == 0)
        try file.write(record)
        #expect(file.read(geometry) == record)
        #expect(rename("\(directory)/.nbdext-job", "\(directory)/target") == 0)
        #expect(symlink("target", "\(directory)/.nbdext-job") == 0)
        #expect(file.read(geometry) == nil)
        // Neither is a member's file waited for.
        #expect(mkfifo("\(directory)/fifo", 0o600) == 0)
        #expect(throws: ArrayStoreError.self) { try MemberFile(path: "\(directory)/fifo", readOnly: false) }
    }

    @Test("a link's text is a URI of printable characters, or none")
    func uris() {
        func uri(_ text: String) -> String? { LinkedMember.uri(in: Array(text.utf8)) }
        #expect(uri("nbd://host/disk\nmore") == "nbd://host/disk")
        #expect(uri("nbd+unix:///d\u{e4}?socket=/s") == "nbd+unix:///d\u{e4}?socket=/s")
        for text in ["", "\n", "host", "nbd://host/\u{1B}[31m", "nbd://host/a\0b", "nbd://host/a b", " nbd://host"] {
            #expect(uri(text) == nil, "\(text.debugDescription)")
        }
    }
}
