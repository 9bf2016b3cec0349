import ArrayStore
import Glibc
import MDFormat
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

@Suite("Names of arrays", .blocks)
struct NameTests {
    private let directory = TemporaryDirectory()

    private func create(_ name: String) throws {
        let plan = ArrayStore.Plan(
            level: .raid5, memberCount: 3, byteCount: 8 << 20, chunkByteCount: 65536, name: name)
        _ = try ArrayStore.create(directory: directory.path, plan: plan, force: true)
    }

    private func name() throws -> String { try ArrayStore.examine(directory: directory.path).name }

    @Test(
        "what md takes for a name is one, and a host is not a part of it",
        arguments: [
            ("a", "a"), ("disks 1", "disks 1"), ("100%?&", "100%?&"), ("host:a", "a"), ("host:a:b", "a:b"),
            ("größe", "größe"), ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        ])
    func valid(stored: String, shown: String) throws {
        try create(stored)
        #expect(try name() == shown)
        try ArrayStore.rename(directory: directory.path, to: "b")
        #expect(try name() == "b")
        try ArrayStore.rename(directory: directory.path, to: stored)
        #expect(try name() == shown)
    }

    @Test(
        "other names are refused",
        arguments: [
            "", ":", "host:", ":a", "a/b", "a\nb", "\u{1B}[2J", "a\u{202E}b", "0123456789abcdef0123456789abcdefg",
        ])
    func invalid(name: String) throws {
        #expect(throws: ArrayStoreError.self) { try create(name) }
        try create("a")
        #expect(throws: ArrayStoreError.self) { try ArrayStore.rename(directory: directory.path, to: name) }
        #expect(try self.name() == "a")
    }

    @Test("a name changes on every member, and nothing else does")
    func rename() throws {
        try create("a")
        func superblocks() throws -> [MDSuperblock] {
            try (0..<3).map { try MDSuperblock(parsing: directory.read("member-\($0).img", at: 4096, count: 4096)) }
        }
        let before = try superblocks()
        try ArrayStore.rename(directory: directory.path, to: "host:b")
        for (old, new) in zip(before, try superblocks()) {
            #expect(new.setName == "host:b")
            var changed = new
            changed.setName = old.setName
            changed.seal()
            #expect(changed.bytes == old.bytes)
        }
    }

    @Test("an array that is served, or of which a member cannot be asked, is not renamed")
    func refused() throws {
        try create("a")
        do {
            let array = try ArrayStore.open(directory: directory.path, readOnly: false)
            #expect(throws: ArrayStoreError.self) { try ArrayStore.rename(directory: directory.path, to: "b") }
            withExtendedLifetime(array) {}
        }
        unlink("\(directory.path)/member-1.img")
        symlink("/nonexistent/member", "\(directory.path)/member-1.img")
        #expect(throws: ArrayStoreError.self) { try ArrayStore.rename(directory: directory.path, to: "b") }
        #expect(try name() == "a")
    }

    @Test("names from members that somebody else wrote are made fit for people")
    func foreign() throws {
        try create("a")
        for (bytes, shown) in [([0x1B, 0x5B, 0x61], "\\u{1b}[a"), ([0x0A, 0x62], "\\u{a}b")] as [([UInt8], String)] {
            for role in 0..<3 {
                var superblock = try MDSuperblock(
                    parsing: directory.read("member-\(role).img", at: 4096, count: 4096))
                superblock.setName = String(decoding: bytes, as: UTF8.self)
                superblock.seal()
                directory.write(superblock.bytes, to: "member-\(role).img", at: 4096)
            }
            #expect(try name() == shown)
        }
        for role in 0..<3 {
            var superblock = try MDSuperblock(parsing: directory.read("member-\(role).img", at: 4096, count: 4096))
            superblock.setName = "host:"
            superblock.seal()
            directory.write(superblock.bytes, to: "member-\(role).img", at: 4096)
        }
        // An array without a name is called by its UUID.
        #expect(try name().count == 8)
    }

    @Test("an array can be opened under another name")
    func openedAs() throws {
        try create("a")
        let array = try ArrayStore.open(directory: directory.path, readOnly: true, name: "b")
        #expect(array.name == "b" && array.view.description.name == "b")
        #expect(try name() == "a")
    }
}
