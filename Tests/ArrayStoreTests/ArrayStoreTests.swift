import ArrayStore
import Glibc
import MDFormat
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

extension TemporaryDirectory {
    func names() -> [String] { ((try? Directory.names(in: path)) ?? []).sorted() }

    /// Changes bytes of a file.
    func write(_ bytes: [UInt8], to name: String, at offset: UInt64) {
        let descriptor = open("\(path)/\(name)", O_RDWR)
        pwrite(descriptor, bytes, bytes.count, off_t(offset))
        close(descriptor)
    }

    func read(_ name: String, at offset: UInt64, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let descriptor = open("\(path)/\(name)", O_RDONLY)
        pread(descriptor, &bytes, count, off_t(offset))
        close(descriptor)
        return bytes
    }
}

@Suite("The array store", .blocks)
struct ArrayStoreTests {
    private let directory = TemporaryDirectory()

    private func plan(_ level: RAIDLevel = .raid5, _ members: Int = 4) -> ArrayStore.Plan {
        ArrayStore.Plan(level: level, memberCount: members, byteCount: 8 << 20, chunkByteCount: 65536, name: "a")
    }

    private func create(_ level: RAIDLevel = .raid5, _ members: Int = 4) throws {
        _ = try ArrayStore.create(directory: directory.path, plan: plan(level, members), force: false)
    }

    private func status() throws -> String { try ArrayStore.examine(directory: directory.path).stateText }

    @Test("a new array is clean, of the size asked for or a stripe more")
    func new() throws {
        try create()
        let array = try ArrayStore.examine(directory: directory.path)
        #expect(array.stateText == "clean" && array.level == 5 && array.members.count == 4 && array.name == "a")
        #expect(array.byteCount >= 8 << 20 && array.byteCount < (8 << 20) + 3 * 65536)
        #expect(directory.names() == (0..<4).map { "member-\($0).img" })
    }

    @Test("a failed creation leaves nothing behind")
    func failedCreation() throws {
        var huge = plan(.raid0, 2)
        huge.byteCount = 1 << 60
        #expect(throws: ArrayStoreError.self) {
            try ArrayStore.create(directory: directory.path, plan: huge, force: false)
        }
        #expect(directory.names() == [])
        #expect(throws: ArrayStoreError.self) {
            try ArrayStore.create(directory: directory.path + "/new", plan: huge, force: false)
        }
        #expect(directory.names() == [])
    }

    @Test("serving makes an array dirty, and stopping makes it clean")
    func dirtyAndClean() throws {
        try create()
        let array = try ArrayStore.open(directory: directory.path, readOnly: false)
        try array.markDirty()
        #expect(try status() == "dirty")
        try array.markClean()
        #expect(try status() == "clean")
    }

    @Test("an open array cannot be opened again, unless both only read")
    func locking() throws {
        try create()
        try withExtendedLifetime(ArrayStore.open(directory: directory.path, readOnly: false)) {
            _ = #expect(throws: ArrayStoreError.self) { try ArrayStore.open(directory: directory.path, readOnly: true) }
        }
        try withExtendedLifetime(ArrayStore.open(directory: directory.path, readOnly: true)) {
            _ = try ArrayStore.open(directory: directory.path, readOnly: true)
        }
    }

    @Test("a name that would be taken for a link is no spare's")
    func spareName() throws {
        try create()
        let before = directory.names()
        let array = try ArrayStore.open(directory: directory.path, readOnly: false)
        for name in ["x.nbd", ".x", "y/x", ""] {
            #expect(throws: ArrayStoreError.self) { try ArrayStore.add(named: name, to: array) }
        }
        #expect(directory.names() == before)
    }

    @Test("what a lost array is to take is refused before anything is made of it")
    func refusedSpare() throws {
        try create()
        let before = directory.names()
        let array = try ArrayStore.open(directory: directory.path, readOnly: false)
        for role in [0, 1] as [Role] { #expect(array.recordFailure(role: role)) }
        for name in ["new.img", "nbd+unix:///?socket=/nonexistent"] {
            let error = #expect(throws: ArrayStoreError.self) { try ArrayStore.add(named: name, to: array) }
            #expect(error?.description.contains("has lost more members") == true, "\(error?.description ?? "")")
        }
        #expect(directory.names() == before)
    }

    @Test("members are known by content, whatever their names")
    func renamed() throws {
        try create()
        rename("\(directory.path)/member-0.img", "\(directory.path)/x")
        rename("\(directory.path)/member-3.img", "\(directory.path)/member-0.img")
        let array = try ArrayStore.open(directory: directory.path, readOnly: true)
        #expect(array.members[0]?.store.name.hasSuffix("/x") == true)
        #expect(array.members[3]?.store.name.hasSuffix("/member-0.img") == true)
    }

    @Test("a missing member is recorded when the array is written, and cannot come back with old data")
    func missingMember() throws {
        try create()
        rename("\(directory.path)/member-2.img", "\(directory.path).hidden")
        defer { unlink("\(directory.path).hidden") }
        do {
            let array = try ArrayStore.open(directory: directory.path, readOnly: false)
            #expect(array.missingRole == 2)
            try array.markDirty()
            try array.markClean()
        }
        rename("\(directory.path).hidden", "\(directory.path)/member-2.img")
        let array = try ArrayStore.examine(directory: directory.path)
        #expect(array.stateText == "degraded")
        #expect(array.members.map(\.state) == ["active", "active", "missing", "active", "failed"])
    }

    @Test("a member that failed is left out the next time")
    func failedMember() throws {
        try create()
        do {
            let array = try ArrayStore.open(directory: directory.path, readOnly: false)
            try array.markDirty()
            #expect(array.recordFailure(role: 1))
            try array.markClean()
        }
        #expect(try ArrayStore.open(directory: directory.path, readOnly: false).missingRole == 1)
    }

    @Test("a RAID 0 array does not start without a member, a RAID 5 array not without two")
    func tooManyMissing() throws {
        try create()
        unlink("\(directory.path)/member-1.img")
        unlink("\(directory.path)/member-2.img")
        #expect(throws: ArrayStoreError.self) { try ArrayStore.open(directory: directory.path, readOnly: true) }
    }

    @Test("an array that is dirty and lacks a member starts only by force")
    func dirtyAndDegraded() throws {
        try create()
        try ArrayStore.open(directory: directory.path, readOnly: false).markDirty()
        unlink("\(directory.path)/member-1.img")
        #expect(throws: ArrayStoreError.self) { try ArrayStore.open(directory: directory.path, readOnly: false) }
        #expect(try ArrayStore.open(directory: directory.path, readOnly: false, force: true).missingRole == 1)
    }

    @Test("a dirty array's parity is made right before it is served")
    func resync() throws {
        try create()
        let geometry: ArrayGeometry
        do {
            let array = try ArrayStore.open(directory: directory.path, readOnly: false)
            try array.markDirty()
            geometry = array.geometry
        }
        // A write that reached a data member only: stripe 9, column 1.
        let member = geometry.member(stripe: 9, column: 1)
        let offset = geometry.memberByteOffset(stripe: 9, chunkOffset: 4096)
        directory.write(Array(repeating: 0x5A, count: 4096), to: "member-\(member).img", at: offset)
        let messages = Messages()
        _ = try ArrayStore.open(directory: directory.path, readOnly: false, in: messages.environment)
        #expect(messages.last?.contains("65536 bytes were rewritten") == true)
        let parity = directory.read("member-\(geometry.parityMember(stripe: 9)).img", at: offset, count: 4096)
        #expect(parity.allSatisfy { $0 == 0x5A })
    }

    @Test("a check begins anew when somebody else has written to the array since")
    func jobAfterMD() throws {
        try create()
        let record = MaintenanceRecord(job: .repair, position: 1 << 20, wrongByteCount: 8192, wrongPlaces: [65536])
        do {
            let array = try ArrayStore.open(directory: directory.path, readOnly: false)
            try array.markDirty()
            array.keep(record)
            try array.markClean()
        }
        func open() throws -> MaintenanceRecord? {
            try ArrayStore.open(directory: directory.path, readOnly: false).takeInterruptedJob()
        }
        #expect(try open() == record)
        #expect(try ArrayStore.examine(directory: directory.path).job?.percent != 0)
        // As md leaves them: with the count of events that they had.
        for role in 0..<4 {
            var superblock = try MDSuperblock(parsing: directory.read("member-\(role).img", at: 4096, count: 4096))
            superblock.lineage = nil
            superblock.seal()
            directory.write(superblock.bytes, to: "member-\(role).img", at: 4096)
        }
        #expect(try ArrayStore.examine(directory: directory.path).job?.percent == 0)
        #expect(
            try open() == MaintenanceRecord(job: .repair, position: 0, wrongByteCount: 0, wrongPlaces: []))
    }

    @Test("how far a check is, is kept in the directory, and only what makes sense is gone on with")
    func interruptedJob() throws {
        try create()
        do {
            let array = try ArrayStore.open(directory: directory.path, readOnly: false)
            try array.markDirty()
            try array.markClean()
        }
        let record = MaintenanceRecord(
            job: .check, position: 1 << 20, wrongByteCount: 8192, wrongPlaces: [65536, 1 << 19])
        func reopened(after change: (OpenedArray) -> Void) throws -> MaintenanceRecord? {
            change(try ArrayStore.open(directory: directory.path, readOnly: false))
            return try ArrayStore.open(directory: directory.path, readOnly: false).takeInterruptedJob()
        }
        #expect(try reopened { _ in } == nil)
        #expect(try reopened { $0.keep(record) } == record)
        var empty = record
        empty.wrongPlaces = []
        #expect(try reopened { $0.keep(empty) } == empty)
        #expect(directory.names().filter { $0.hasPrefix(".") } == [".nbdext-job"])
        #expect(try ArrayStore.open(directory: directory.path, readOnly: true).takeInterruptedJob() == nil)
        for nonsense in ["5", "x", "99999999999", ""] {
            var other = record
            other.position = 0
            #expect(
                try reopened { array in
                    array.keep(other)
                    let text = Array("check \(nonsense)".utf8)
                    let all = directory.read(".nbdext-job", at: 0, count: 200)
                    let start = all.indices.first { all[$0...].starts(with: Array("check 0".utf8)) }!
                    directory.write(text + Array(" ".utf8), to: ".nbdext-job", at: UInt64(start))
                } == nil, "\(nonsense)")
        }
        #expect(
            try reopened { array in
                array.keep(record)
                let digit = directory.read(".nbdext-job", at: 19, count: 1)
                directory.write(Array(digit == Array("0".utf8) ? "1".utf8 : "0".utf8), to: ".nbdext-job", at: 19)
            } == nil)
        #expect(try reopened { $0.keep(nil) } == nil)
        #expect(directory.names().allSatisfy { !$0.hasPrefix(".") })
    }
}

@Suite("The md superblock", .blocks)
struct SuperblockTests {
    private func superblock(_ level: RAIDLevel) -> MDSuperblock {
        let geometry = ArrayGeometry(
            level: level, memberCount: 4, chunkByteCount: 65536, memberDataByteCount: 64 << 20, dataByteOffset: 1 << 20)
        var superblock = MDSuperblock(
            geometry: geometry, memberByteCount: 65 << 20, name: "x", setUUID: Array(1...16),
            deviceUUID: Array(17...32),
            role: 2, time: 1_700_000_000)
        superblock.seal()
        return superblock
    }

    @Test("comes back as it was written", arguments: [RAIDLevel.raid0, .raid5])
    func roundTrip(level: RAIDLevel) throws {
        let parsed = try MDSuperblock(parsing: superblock(level).bytes)
        #expect(parsed == superblock(level))
        let geometry = try parsed.geometry()
        #expect(geometry.level == level && geometry.memberCount == 4 && geometry.dataByteOffset == 1 << 20)
        #expect(geometry.memberDataByteCount == 64 << 20)
        #expect(parsed.role == 2 && parsed.isClean && parsed.events == 1)
    }

    @Test("a changed byte is a wrong checksum, and other data is no superblock")
    func damage() {
        var bytes = superblock(.raid5).bytes
        bytes[200] ^= 1
        #expect(throws: MDSuperblock.Problem.wrongChecksum) { try MDSuperblock(parsing: bytes) }
        #expect(throws: MDSuperblock.Problem.noMagic) { try MDSuperblock(parsing: Array(repeating: 7, count: 4096)) }
        #expect(throws: MDSuperblock.Problem.noMagic) { try MDSuperblock(parsing: []) }
    }

    @Test(
        "data begins where mdadm puts it",
        arguments: [
            (64 << 20, 65536, 2048), (64 << 20, 524_288, 4096), (1 << 30, 65536, 4096), (10 << 30, 65536, 18432),
            (128 << 30, 65536, 264_192),
        ])
    func dataOffset(memberByteCount: UInt64, chunk: Int, sectors: UInt64) {
        #expect(
            MDSuperblock.dataByteOffset(memberDataByteCount: memberByteCount, chunkByteCount: chunk) == sectors * 512)
    }
}
