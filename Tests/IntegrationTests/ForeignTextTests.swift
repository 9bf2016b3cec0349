import Foundation
import MDFormat
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

/// Names and words that others wrote are shown, and do nothing else.
@Suite("Foreign text", .blocks, .slow)
struct ForeignTextTests {
    private let directory = TemporaryDirectory()
    private var array: String { "\(directory.path)/a" }
    private static let evil = "\u{1B}[31m\u{9B}2J\nready evil\u{202E}"

    private func run(_ arguments: String...) throws -> Shell.Result { try Shell.run(nbdext, arguments) }

    private func create() throws {
        let result = try run("create", array, "--level", "5", "--members", "3", "--size", "8M")
        #expect(result.status == 0, "\(result.errors)")
    }

    /// Gives the array a name that nobody would choose.
    private func rename(_ name: [UInt8]) throws {
        for role in 0..<3 {
            let file = try #require(FileHandle(forUpdatingAtPath: "\(array)/member-\(role).img"))
            try file.seek(toOffset: 4096)
            var bytes = Array(try file.read(upToCount: 4096) ?? Data())
            bytes.replaceSubrange(32..<64, with: name + Array(repeating: 0, count: 32 - name.count))
            var superblock = try MDSuperblock(parsing: Self.sealed(bytes))
            superblock.seal()
            try file.seek(toOffset: 4096)
            try file.write(contentsOf: Data(superblock.bytes))
            try file.close()
        }
    }

    /// With the checksum made right.
    private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for index in 216..<220 { bytes[index] = 0 }
        let count = 256 + 2 * (Int(bytes[220]) | Int(bytes[221]) << 8)
        var sum: UInt64 = 0
        for word in stride(from: 0, to: count, by: 4) {
            sum += (0..<4).reduce(0) { $0 | UInt64(bytes[word + $1]) << (8 * UInt64($1)) }
        }
        let checksum = UInt32(truncatingIfNeeded: (sum & 0xFFFF_FFFF) + (sum >> 32))
        for index in 0..<4 { bytes[216 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index))) }
        return bytes
    }

    /// Nothing of it acts on a terminal, and no line of it was begun by somebody else.
    private func expectIsShown(_ text: String, _ where: String) {
        let controls = text.unicodeScalars.filter {
            $0 != "\n"
                && [.control, .format, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
        }
        #expect(controls.isEmpty, "\(`where`): \(text.debugDescription)")
        #expect(!text.contains("\nready"), "\(`where`): \(text)")
    }

    @Test("an array's name from its superblocks")
    func arrayName() throws {
        try create()
        try rename(Array("\u{1B}[31m\nready evil\u{202E}".utf8) + [0xFF])
        for arguments in [["status", array], ["status", array, "--json"]] {
            let result = try Shell.run(nbdext, arguments)
            expectIsShown(result.output + result.errors, "\(arguments)")
            #expect(result.output.contains("u{1b}"), "\(result.output)")
        }
        let json = try JSONSerialization.jsonObject(with: Data(try run("status", array, "--json").output.utf8))
        #expect(((json as? [String: Any])?["name"] as? String)?.hasPrefix(#"\u{1b}[31m\u{a}ready"#) == true)
        let server = ServedArray(existing: array)
        try server.start()
        defer { server.stop() }
        for arguments in [
            ["status", array], ["status", array, "--json"], ["top", array, "--prometheus"],
            ["top", array, "--once", "--json", "--interval", "0.1"], ["top", array, "--once", "--interval", "0.1"],
            ["check", array], ["cancel", array],
        ] {
            let result = try Shell.run(nbdext, arguments)
            #expect(!(result.output + result.errors).isEmpty)
            expectIsShown(result.output + result.errors, "\(arguments)")
        }
        expectIsShown(server.errors, "the server's messages")
    }

    @Test("the names of files in a directory")
    func fileNames() throws {
        try create()
        let name = Self.evil + ".img"
        try FileManager.default.moveItem(atPath: "\(array)/member-1.img", toPath: "\(array)/\(name)")
        try FileManager.default.copyItem(atPath: "\(array)/member-2.img", toPath: "\(array)/copy\(name)")
        try FileManager.default.createSymbolicLink(atPath: "\(array)/x\(name)", withDestinationPath: "nowhere")
        try Data("no uri".utf8).write(to: URL(fileURLWithPath: "\(array)/\(Self.evil).nbd"))
        for arguments in [
            ["status", array], ["status", array, "--json"],
            ["create", array, "--level", "5", "--members", "3", "--size", "8M"],
            ["serve", array, "--socket", "/nonexistent/s"], ["rename", array, "b"],
        ] {
            let result = try Shell.run(nbdext, arguments)
            #expect(!(result.output + result.errors).isEmpty)
            expectIsShown(result.output + result.errors, "\(arguments)")
        }
    }

    @Test(
        "what is on the command line",
        arguments: [
            ["status", evil], [evil], ["serve", evil, "--socket", evil], ["serve", "x", "--listen", evil],
            ["create", evil, "--level", "5", "--members", "3", "--size", evil],
            ["create", "/nonexistent/x", "--level", "5", "--members", "3", "--size", "8M", "--name", evil],
            ["status", "--\(evil)"],
            ["explain", "--profile", evil, "--size", "4K"], ["explain", "--size", evil], ["top", evil],
            ["scenario", "run", evil], ["check-driver", evil], ["fail", evil, "1"],
            ["serve", "--driver", evil, "--socket", "s"],
        ])
    func arguments(arguments: [String]) throws {
        let result = try Shell.run(nbdext, arguments)
        #expect(result.status != 0 && !result.errors.isEmpty)
        expectIsShown(result.output + result.errors, "\(arguments)")
    }

    @Test("a profile's name and keys")
    func profile() throws {
        let path = "\(directory.path)/p.json"
        let name = JSONEncoding.text(Self.evil)
        func profile(_ key: String) -> String {
            """
            {"name": \(name), "description": \(name), "driver": "dext", "constraints": {\(key)},
            "dma": {"maxTransferSize": 65536}}
            """
        }
        for (key, arguments) in [
            ("", ["ioreg", "--profile", path]), ("", ["ioreg", "--json", "--profile", path]),
            ("", ["explain", "--size", "4K", "--profile", path]),
            ("", ["explain", "--json", "--size", "4K", "--profile", path]),
            ("\(name): 1", ["explain", "--size", "4K", "--profile", path]),
        ] {
            try Data(profile(key).utf8).write(to: URL(fileURLWithPath: path))
            let result = try Shell.run(nbdext, arguments)
            #expect(!(result.output + result.errors).isEmpty)
            expectIsShown(result.output + result.errors, "\(arguments) \(key)")
            if arguments.contains("--json") {
                _ = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            }
        }
    }

    /// A text as JSON.
    private enum JSONEncoding {
        static func text(_ text: String) -> String { String(decoding: try! JSONEncoder().encode(text), as: UTF8.self) }
    }
}
