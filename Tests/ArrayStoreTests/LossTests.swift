import Glibc
import MDFormat
import Platform
import RAID
import Statistics
import TestSupport
import TestTraits
import Testing

@testable import ArrayStore

/// Members that go away while the array is open.
@Suite("Members that are lost", .blocks)
struct LossTests {
    private let directory = TemporaryDirectory()
    private let messages = Messages()

    private func open(_ level: RAIDLevel = .raid5) throws -> OpenedArray {
        let plan = ArrayStore.Plan(
            level: level, memberCount: 3, byteCount: 8 << 20, chunkByteCount: 65536, name: "a")
        _ = try ArrayStore.create(directory: directory.path, plan: plan, force: false)
        return try ArrayStore.open(directory: directory.path, readOnly: false, in: messages.environment)
    }

    private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

    @Test(
        "a file that is deleted, or has another one in its place, is a failure, and is told once",
        arguments: [true, false])
    func deleted(isReplaced: Bool) throws {
        let array = try open()
        #expect(array.lostPlaces() == [])
        if isReplaced {
            close(Glibc.open(path("new"), O_CREAT | O_RDWR, 0o600))
            rename(path("new"), path("member-1.img"))
        } else {
            unlink(path("member-1.img"))
        }
        for _ in 0..<2 { #expect(array.lostPlaces() == [1]) }
        let words = isReplaced ? "was replaced by another one" : "was deleted"
        #expect(messages.all == ["the file of member 1 of a, \(path("member-1.img")), \(words)"])
        #expect(array.recordFailure(role: 1))
        #expect(array.lostPlaces() == [])
        #expect(array.view.description.members[1].state == "failed: its file \(words)")
        // A second one is the last copy of data.
        unlink(path("member-2.img"))
        #expect(array.lostPlaces() == [])
        #expect(array.health == .degraded)
    }

    @Test("a file that is replaced by another one, or moved away, is lost", arguments: [true, false])
    func elsewhere(isReplaced: Bool) throws {
        let array = try open()
        let other = TemporaryDirectory()
        #expect(rename(path("member-1.img"), "\(other.path)/m") == 0)
        if isReplaced { close(Glibc.open(path("member-1.img"), O_CREAT | O_RDWR, 0o600)) }
        #expect(array.lostPlaces() == [1])
        #expect(messages.last?.contains(isReplaced ? "was replaced by another one" : "was moved away") == true)
        unlink(path("member-1.img"))
        rename("\(other.path)/m", path("member-1.img"))
        #expect(array.lostPlaces() == [])
    }

    @Test("a file that is found under another name is not lost, and neither are those of a directory that is moved")
    func renamed() throws {
        let array = try open()
        rename(path("member-1.img"), path("one"))
        #expect(array.lostPlaces() == [])
        let moved = directory.path + ".moved"
        rename(directory.path, moved)
        #expect(array.lostPlaces() == [])
        rename(moved, directory.path)
        #expect(messages.all == [])
    }

    @Test("of two files that vanish at once the second is needed, and people are told, once")
    func both() throws {
        let array = try open()
        for role in 1...2 { unlink(path("member-\(role).img")) }
        #expect(array.lostPlaces() == [1, 2])
        #expect(array.isLost(place: 1) && array.recordFailure(role: 1))
        #expect(!array.isLost(place: 2))
        for _ in 0..<2 { #expect(array.lostPlaces() == []) }
        let needed = messages.all.filter { $0.contains("cannot do without it") }
        #expect(needed.count == 1 && needed[0].contains("member-2.img"), "\(messages.all)")
        #expect(array.health == .degraded)
    }

    @Test("what was found out of a member is forgotten with it")
    func forgotten() throws {
        let array = try open()
        unlink(path("member-1.img"))
        #expect(array.lostPlaces() == [1])
        #expect(array.recordFailure(role: 1))
        _ = try array.remove { $0.role == 1 }
        #expect(array.lostPlaces() == [] && array.losses.isEmpty)
    }

    @Test("a file that the array cannot do without goes on being used, and people are told what to do")
    func needed() throws {
        for level in [RAIDLevel.raid0, .raid5] {
            let array = try open(level)
            if level == .raid5 { #expect(array.recordFailure(role: 0)) }
            unlink(path("member-2.img"))
            #expect(array.lostPlaces() == [])
            #expect(messages.last?.contains("cannot do without it") == true, "\(messages.all)")
            #expect(array.health == (level == .raid0 ? .clean : .degraded))
            #expect(array.view.description.members[2].state == "active, but its file was deleted")
            for role in 0..<3 { unlink(path("member-\(role).img")) }
        }
    }

    @Test(
        "an array that lost too many is failed, whatever its level, and stays so", arguments: [RAIDLevel.raid0, .raid5])
    func failed(level: RAIDLevel) throws {
        let array = try open(level)
        if level == .raid5 {
            #expect(array.recordFailure(role: 0))
            #expect(array.health == .degraded)
        }
        #expect(array.recordFailure(role: 1))
        #expect(array.health == .failed && array.view.state == .failed)
        #expect(array.failedMembers == (level == .raid0 ? [1] : [0, 1]))
        #expect(messages.last?.contains("cannot go on") == true, "\(messages.all)")
    }

    /// Opens a RAID 5 of three members in memory.
    private func openInMemory(chunkByteCount: Int) throws -> (array: OpenedArray, members: [MemoryMember]) {
        let geometry = ArrayGeometry(
            level: .raid5, memberCount: 3, chunkByteCount: chunkByteCount, memberDataByteCount: 64 << 10,
            dataByteOffset: 16 << 10)
        let members = (0..<3).map { role in
            var superblock = MDSuperblock(
                geometry: geometry, memberByteCount: 80 << 10, name: "m", setUUID: Array(1...16),
                deviceUUID: Array(repeating: UInt8(role), count: 16), role: Role(index: role), time: 1_600_000_000)
            superblock.seal()
            var bytes = [UInt8](repeating: 0, count: 80 << 10)
            bytes.replaceSubrange(4096..<8192, with: superblock.bytes)
            return MemoryMember(name: "m\(role)", bytes: bytes)
        }
        let array = try ArrayStore.open(
            members: members, directory: "here", readOnly: false, in: messages.environment)
        return (array, members)
    }

    @Test("survivors that cannot be told of a failure are a failed array")
    func untold() throws {
        let (array, members) = try openInMemory(chunkByteCount: 4096)
        members[2].state.withLock { $0.failsWrites = true }
        #expect(!array.recordFailure(role: 0))
        #expect(array.health == .failed)
        // Nobody was told of the next one either.
        #expect(!array.recordFailure(role: 1))
    }

    @Test("a member that cannot be told of the end of serving is out, and the array is clean on the others")
    func untoldOfTheEnd() throws {
        let (array, members) = try openInMemory(chunkByteCount: 4096)
        try array.markDirty()
        members[2].state.withLock { $0.failsWrites = true }
        try array.close()
        #expect(array.health == .degraded && array.failedMembers == [2])
        let again = try ArrayStore.open(
            members: Array(members[..<2]), directory: "here", readOnly: false, in: messages.environment)
        #expect(again.health == .degraded)
        // Two are one too many.
        try again.markDirty()
        members[1].state.withLock { $0.failsWrites = true }
        #expect(throws: ArrayStoreError.self) { try again.close() }
    }

    @Test("blocks that cannot be read are named, and what of the array is lost with them")
    func unreadable() throws {
        let (array, members) = try openInMemory(chunkByteCount: 8192)
        #expect(array.recordFailure(role: 2))
        #expect(array.unreadableText(in: 0..<8192) == nil)
        // Stripe 0 has its parity on member 2, and stripe 1 on member 1.
        members[0].state.withLock { $0.unreadable = [5, 6] }
        #expect(
            array.unreadableText(in: 0..<8192)
                == "bytes 20480 to 24575 of member 0 (m0) cannot be read, and there is no copy of bytes 4096 to 8191 of the array"
        )
        #expect(
            array.unreadableText(in: 8192..<16384)
                == "bytes 24576 to 28671 of member 0 (m0) cannot be read, and there is no copy of bytes 16384 to "
                + "20479, 24576 to 28671 of the array")
    }
}
