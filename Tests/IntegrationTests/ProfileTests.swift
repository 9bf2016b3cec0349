import Foundation
import TestTraits
import Testing

/// What a shipped profile does with requests on the raw device.
struct ProfileExpectation: CustomTestStringConvertible, Sendable {
    var name: String
    /// The largest request that works, bytes; nil when all do.
    var largest: Int?
    /// Blocks of 512 bytes in a stage of a larger request.
    var stageBlockCount: Int
    var testDescription: String { name }

    var isIncomplete: Bool { largest != nil }

    static let all = [
        ProfileExpectation(name: "kext-512k", stageBlockCount: 1024),
        ProfileExpectation(name: "dext-64k", largest: 65536, stageBlockCount: 65535),
        ProfileExpectation(name: "dext-512k-incomplete", largest: 524_288, stageBlockCount: 65535),
        // 129 segments of 65536 bytes.
        ProfileExpectation(name: "dext-complete", stageBlockCount: 16512),
        // 128 of them.
        ProfileExpectation(name: "default", stageBlockCount: 16384),
    ]

    static let incomplete = all.filter(\.isIncomplete)

    /// The commands that a request at offset 0 becomes, as the driver sees them.
    func commands(isWrite: Bool, byteCount: Int) -> [String] {
        if let largest, byteCount > largest { return [] }
        let end = byteCount / 512
        return stride(from: 0, to: end, by: stageBlockCount).map { start in
            let count = min(stageBlockCount, end - start)
            let bytes =
                [isWrite ? 0x2A : 0x28, 0] + [24, 16, 8, 0].map { start >> $0 & 0xFF } + [0]
                + [count >> 8, count & 0xFF] + [0]
            return bytes.map { String(format: "%02x", $0) }.joined(separator: " ")
        }
    }
}

/// The table that a developer gets who tries dd with growing block sizes on /dev/rdiskN.
@Suite("HBA profiles", .serialized, .blocks, .slow)
struct ProfileTests {
    private static let sizes = [
        64 << 10, 128 << 10, 512 << 10, 768 << 10, 2 << 20, 10 << 20,
        // The largest request of NBD.
        32 << 20,
    ]

    private func serve(_ profile: String, _ options: String...) throws -> ServedArray {
        let array = try ServedArray(level: 5, members: 4, size: "48M", keepsErrors: true)
        try array.start(["--profile", profile, "--trace", array.tracePath] + options)
        return array
    }

    /// Sends one request, and says what the client said and what the driver saw of it.
    private func request(
        _ isWrite: Bool, _ byteCount: Int, pattern: Int, on array: ServedArray
    ) throws -> (said: String, commands: [String]) {
        func trace() throws -> [TraceLine] {
            try TraceLine.lines(of: String(contentsOfFile: array.tracePath, encoding: .utf8), format: "text")
        }
        let before = try trace().count
        // Write-back, so that the writes themselves do not carry FUA.
        let result = try Shell.run(
            "qemu-io",
            [
                "-t", "writeback", "-f", "raw", "-c", "\(isWrite ? "write" : "read") -P \(pattern) 0 \(byteCount)",
                array.uri,
            ])
        let new = try trace()[before...].filter(\.isTransfer)
        #expect(new.reduce(0) { $0 + $1.byteCount } == (new.isEmpty ? 0 : byteCount))
        return (result.output + result.errors, new.map(\.cdb))
    }

    @Test(
        "the dd table: what works, what fails, and which commands the driver sees",
        .enabled(if: Shell.has("qemu-io"), "qemu-io is not installed"), arguments: ProfileExpectation.all)
    func table(profile: ProfileExpectation) throws {
        let array = try serve(profile.name, "--constraints", "macos")
        for (index, byteCount) in Self.sizes.enumerated() {
            for isWrite in [true, false] {
                let outcome = try request(isWrite, byteCount, pattern: index + 1, on: array)
                let expected = profile.commands(isWrite: isWrite, byteCount: byteCount)
                let label: Comment = "\(isWrite ? "write" : "read") of \(byteCount): \(outcome.said)"
                #expect(outcome.commands == expected, label)
                if expected.isEmpty {
                    #expect(outcome.said.contains("failed: Input/output error"), label)
                } else {
                    let verb = isWrite ? "wrote" : "read"
                    #expect(outcome.said.contains("\(verb) \(byteCount)/\(byteCount) bytes at offset 0"), label)
                    #expect(!outcome.said.contains("failed"), label)
                }
            }
        }
        #expect(array.errors.contains("driver fault B32") == profile.isIncomplete, "\(array.errors)")
        #expect(array.errors.contains("driver fault B33") == profile.isIncomplete, "\(array.errors)")
        #expect(array.stop() == 0)
    }

    @Test("a KEXT's 10 MiB are twenty commands of 512 KiB")
    func literalCommands() {
        let commands = ProfileExpectation.all[0].commands(isWrite: true, byteCount: 10 << 20)
        #expect(commands.count == 20)
        #expect(
            commands.prefix(3) == [
                "2a 00 00 00 00 00 00 04 00 00", "2a 00 00 00 04 00 00 04 00 00", "2a 00 00 00 08 00 00 04 00 00",
            ])
        #expect(
            ProfileExpectation.all[3].commands(isWrite: false, byteCount: 32 << 20) == [
                "28 00 00 00 00 00 00 40 80 00", "28 00 00 00 40 80 00 40 80 00", "28 00 00 00 81 00 00 40 80 00",
                "28 00 00 00 c1 80 00 3e 80 00",
            ])
    }

    @Test("what failed has changed nothing", .enabled(if: Shell.has("qemu-io"), "qemu-io is not installed"))
    func failedWriteChangesNothing() throws {
        let array = try serve("dext-64k", "--constraints", "macos")
        try array.qemuIO("write -P 7 0 64k", "write -P 7 64k 64k")
        #expect(try request(true, 128 << 10, pattern: 9, on: array).said.contains("Input/output error"))
        try array.qemuIO("read -P 7 0 64k", "read -P 7 64k 64k")
        #expect(array.stop() == 0)
    }

    @Test("a strict kernel does not start with limits that do not fit", arguments: ProfileExpectation.incomplete)
    func strict(profile: ProfileExpectation) throws {
        let array = try ServedArray(level: 5, members: 3, size: "4M")
        for policy in [[], ["--constraints", "strict"]] {
            // The limit is for a server that starts after all.
            let result = try Shell.run(
                "timeout",
                [
                    "\(Needs.hangMinutes)m", nbdext, "serve", array.arrayPath, "--socket", array.socket, "--profile",
                    profile.name,
                ] + policy)
            #expect(result.status != 0 && result.status != 124, "\(result.errors)")
            #expect(!result.output.contains("ready:"))
            for expected in [
                "B33: missing: IOMaximumSegmentByteCountRead (65536 suits most hardware), "
                    + "IOMaximumSegmentByteCountWrite (65536 suits most hardware)",
                "B32: maxTransferSize is \(profile.largest!)", "raise it to 33553920", "--constraints macos",
            ] {
                #expect(result.errors.contains(expected), "\(expected) is missing in \(result.errors)")
            }
            #expect(!FileManager.default.fileExists(atPath: array.socket))
            // The array was opened and closed.
            let status = try Shell.run(nbdext, ["status", array.arrayPath])
            #expect(status.output.contains("state    clean"), "\(status.output)")
        }
    }

    @Test("a strict kernel has nothing to say about a complete profile")
    func strictAcceptsComplete() throws {
        for profile in ProfileExpectation.all where !profile.isIncomplete {
            let array = try serve(profile.name)
            #expect(!array.errors.contains("driver"), "\(profile.name): \(array.errors)")
            #expect(array.stop() == 0)
        }
    }
}
