import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// The real md driver, in a Linux kernel that runs as a process, judges our arrays; and we judge its.
@Suite("Linux md", .serialized, .busy, .kernel)
struct MDJudgeTests {
    private static let isAvailable =
        UserModeLinux.isAvailable && Shell.has("mdadm", "losetup", "qemu-io", "fio", "nbdcopy")

    // MARK: Ours, judged by md

    /// An array that we make.
    struct Ours: Sendable {
        var level: Int
        var members: Int
        var chunk: String
        var consistency: String

        var name: String { "raid\(level)-\(members)-\(chunk)-\(consistency)" }
    }

    private static let ours = [
        Ours(level: 0, members: 2, chunk: "4K", consistency: "resync"),
        Ours(level: 0, members: 3, chunk: "512K", consistency: "resync"),
        Ours(level: 5, members: 3, chunk: "4K", consistency: "resync"),
        Ours(level: 5, members: 4, chunk: "64K", consistency: "bitmap"),
        Ours(level: 5, members: 4, chunk: "64K", consistency: "ppl"),
        Ours(level: 5, members: 5, chunk: "512K", consistency: "ppl"),
        Ours(level: 5, members: 4, chunk: "1M", consistency: "resync"),
    ]

    @Test(
        "md takes our arrays, finds the bytes that we serve, and no parity that differs",
        .enabled(if: isAvailable, "user-mode-linux, mdadm, qemu-utils, fio, libnbd-bin or kmod is missing"))
    func ours() throws {
        let exchange = TemporaryDirectory()
        var digests: [String: String] = [:]
        for array in Self.ours { digests.merge(try prepare(array, in: exchange.path)) { $1 } }
        for consistency in ["bitmap", "ppl"] {
            let (name, digest) = try prepareReplacement(consistency, in: exchange.path)
            digests[name] = digest
        }
        let findings = try UserModeLinux.judge("md-judge-ours.sh", exchange: exchange.path)
        for (name, digest) in digests.sorted(by: { $0.key < $1.key }) {
            let finding = try #require(findings[name], "\(name) was not judged")
            #expect(finding["examine"] == "ok", "\(name): \(finding)")
            if digest == "refused" {
                #expect(finding["refused"] == "yes", "\(name): \(finding)")
                continue
            }
            #expect(finding["before"] == digest && finding["after"] == digest, "\(name), \(digest): \(finding)")
            let isWhole = name.contains("raid5") && !name.contains("without")
            #expect(finding["mismatches"] == (isWhole ? "0" : "-"), "\(name): \(finding)")
            if name.contains("replacing") { #expect(finding["replaced"] == digest, "\(name), \(digest): \(finding)") }
            if name.contains("ppl") || name.contains("bitmap") {
                #expect(finding["policy"].map { name.contains($0) } == true, "\(name): \(finding)")
            }
        }
    }

    /// Makes an array and leaves copies of its members in several states: NAME-clean, NAME-crashed, and for RAID 5
    /// NAME-clean-without, NAME-crashed-without, where a member is missing.
    /// - Returns: for each, the digest of what we serve, or "refused".
    private func prepare(_ array: Ours, in exchange: String) throws -> [String: String] {
        let served = try ServedArray(
            level: array.level, members: array.members, size: "12M",
            creation: ["--chunk", array.chunk, "--consistency", array.consistency], keepsErrors: true)
        var digests: [String: String] = [:]
        func keep(_ state: String, without missing: Int? = nil) throws -> String {
            let path = "\(exchange)/ours/\(array.name)-\(state)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for role in 0..<array.members where role != missing {
                try Shell.run("cp", ["--sparse=always", "\(served.arrayPath)/member-\(role).img", path])
            }
            if state.hasPrefix("clean") { _ = FileManager.default.createFile(atPath: "\(path)/clean", contents: nil) }
            return path
        }
        try served.start()
        try write(to: served, seed: 1)
        digests["\(array.name)-clean"] = try digest(served.uri)
        #expect(served.stop() == 0)
        _ = try keep("clean")
        if array.consistency == "bitmap" {
            digests["\(array.name)-clean-readded"] = try readd(1, to: served) { try keep($0) }
        }

        // Killed in the middle of writes.
        try served.start()
        let writer = try served.startFio([
            "--rw=randwrite", "--bsrange=512-128k", "--bs_unaligned", "--iodepth=16", "--size=12m", "--io_size=1g",
            "--fsync=8", "--randseed=3",
        ])
        Thread.sleep(forTimeInterval: 1)
        served.kill()
        writer.wait()
        let crashed = try keep("crashed")
        digests["\(array.name)-crashed"] = try digestOfCopy(crashed)

        guard array.level == 5 else { return digests }
        let without = try keep("crashed-without", without: 1)
        digests["\(array.name)-crashed-without"] = try digestOfCopy(without)
        // The same, stopped cleanly and then without a member, and written to.
        try served.start()
        #expect(served.stop() == 0)
        try served.removeMember(1)
        try served.start()
        try write(to: served, seed: 2)
        digests["\(array.name)-clean-without"] = try digest(served.uri)
        #expect(served.stop() == 0)
        _ = try keep("clean-without", without: 1)
        return digests
    }

    /// Makes an array that is stopped in the middle of a replacement.
    /// - Returns: what it is called, and the digest of what we serve.
    private func prepareReplacement(_ consistency: String, in exchange: String) throws -> (String, String) {
        let name = "raid5-3-\(consistency)-clean-replacing"
        let path = "\(exchange)/ours/\(name)"
        let served = try ServedArray(
            level: 5, members: 3, size: "128M", creation: ["--consistency", consistency], keepsErrors: true)
        try served.start()
        let random = try Shell.run(
            "bash", ["-c", "set -o pipefail; head -c 120M /dev/urandom | nbdcopy - '\(served.uri)'"])
        #expect(random.status == 0, "\(random.errors)")
        let digest = try digest(served.uri)
        try served.replaceSlowly("1", by: "new.img") { #expect(served.stop() == 0) }
        let status = try Shell.run(nbdext, ["status", served.arrayPath]).output
        #expect(status.contains("replacing member 1, ") && !status.contains(" 0 % done"), "\(status)")
        try Shell.run("bash", ["-c", "mkdir -p '\(path)' && cp --sparse=always '\(served.arrayPath)'/*.img '\(path)'"])
        for flag in ["clean", "replacing"] {
            _ = FileManager.default.createFile(atPath: "\(path)/\(flag)", contents: nil)
        }
        return (name, digest)
    }

    /// Takes a member out of a stopped array, writes, and lets it come back.
    private func readd(
        _ role: Int, to array: ServedArray, _ keep: (String) throws -> String
    ) throws -> String {
        try array.start()
        #expect(try Shell.run(nbdext, ["fail", array.arrayPath, "\(role)"]).status == 0)
        try write(to: array, seed: 4)
        let result = try Shell.run(nbdext, ["add", array.arrayPath, "member-\(role).img"])
        #expect(result.output.contains("is re-added"), "\(result)")
        let digest = try digest(array.uri)
        #expect(array.stop() == 0)
        _ = try keep("clean-readded")
        return digest
    }

    private func write(to array: ServedArray, seed: Int) throws {
        try array.fioVerify([
            "--rw=randwrite", "--bsrange=4k-256k", "--iodepth=8", "--size=12m", "--io_size=12m", "--do_verify=0",
            "--buffer_compress_percentage=0", "--refill_buffers", "--randseed=\(seed)",
        ])
        try array.qemuIO("write -P 0x5a 1237k 3k", "write -P 0xa5 100k 700k", "discard 4M 2M")
    }

    // MARK: md's, judged by us

    @Test(
        "we take md's arrays, find the bytes that it serves, and refuse what we must without touching it",
        .enabled(if: isAvailable, "user-mode-linux, mdadm, qemu-utils, fio, libnbd-bin or kmod is missing"))
    func theirs() throws {
        let exchange = TemporaryDirectory()
        let findings = try UserModeLinux.judge("md-judge-theirs.sh", exchange: exchange.path)
        #expect(findings.count == 32)
        for (name, finding) in findings.sorted(by: { $0.key < $1.key }) {
            let path = "\(exchange.path)/theirs/\(name)"
            if let digest = finding["sha"], digest != "none" {
                try open(name, path, digest)
            } else {
                try refuse(name, path)
            }
        }
    }

    private func open(_ name: String, _ path: String, _ digest: String) throws {
        let state = try Shell.run(nbdext, ["status", path, "--json"]).output
        // The spare has taken the place of the member that failed.
        let expected = name.hasSuffix("dirty") ? "dirty" : name.hasSuffix("degraded") ? "degraded" : "clean"
        if name.hasPrefix("raid5") && name != "raid5-spare-degraded" {
            #expect(state.contains("\"state\": \"\(expected)\""), "\(name): \(state)")
        }
        if name == "raid5-replacing" { try complete(path, digest, state) }
        if name == "raid5-spare-clean" { #expect(state.contains("\"state\": \"spare\"")) }
        if name.hasPrefix("raid5") && name.hasSuffix("dirty") {
            // A crash between data and parity of the last write, of which md has a record or a bit.
            try withCopy(of: path) { copy in
                _ = try MDMembers(copy).tearLastWrite()
                #expect(try self.digest(servedFrom: copy) == digest, "\(name), torn")
                #expect(try MDMembers(copy).parityIsRight(), "\(name), torn")
            }
        }
        if name.hasSuffix("ppl-dirty") {
            // The same without a member that was not being written.
            try withCopy(of: path) { copy in
                let members = try MDMembers(copy)
                let (parity, written) = try members.tearLastWrite()
                let other = members.paths.indices.first { $0 != parity && $0 != written }!
                try FileManager.default.removeItem(atPath: members.paths[other])
                #expect(try self.digest(servedFrom: copy) == digest, "\(name), torn, without m\(other)")
            }
        }
        #expect(try self.digest(servedFrom: path) == digest, "\(name)")
        if name.hasPrefix("raid5") && !name.hasSuffix("degraded") {
            #expect(try MDMembers(path).parityIsRight(), "\(name)")
        }
    }

    /// We go on with a replacement that md has begun: the new member does for the old one, and for another one.
    private func complete(_ path: String, _ digest: String, _ state: String) throws {
        #expect(state.contains("replacing member 1, ") && !state.contains(", 0 % done"), "\(state)")
        try withCopy(of: path) { copy in
            let served = ServedArray(existing: copy)
            try served.start()
            try served.waitForStatus { !$0.contains("replacing") }
            #expect(served.stop() == 0)
            for name in ["m1.img", "m2.img"] { try FileManager.default.removeItem(atPath: "\(copy)/\(name)") }
            #expect(try self.digest(servedFrom: copy) == digest)
        }
    }

    private func refuse(_ name: String, _ path: String) throws {
        let words = [
            "raid1": "RAID 1 ", "raid6": "RAID 6", "right-asymmetric": "right-asymmetric", "metadata-0.90": "0.90",
            "metadata-1.0": "1.0", "metadata-1.1": "1.1", "chunk-12k": "power of two", "journal": "journal",
            "reshape": "reshaped",
        ]
        let before = try digests(path)
        let socket = "\(path).socket"
        let result = try Shell.run(nbdext, ["serve", path, "--force", "--socket", socket])
        let word = try #require(words[name])
        #expect(result.status != 0 && result.errors.contains(word), "\(name): \(result.errors)")
        #expect(try digests(path) == before, "\(name) was changed")
    }

    // MARK: Means

    private func digest(_ uri: String) throws -> String {
        let result = try Shell.run("bash", ["-c", "set -o pipefail; nbdcopy '\(uri)' - | sha256sum"])
        guard result.status == 0 else { throw ServedArray.Failure(text: result.errors) }
        return String(result.output.prefix(64))
    }

    /// The digest of what we serve from a directory; whatever is to be recovered is recovered there.
    private func digest(servedFrom path: String) throws -> String {
        let served = ServedArray(existing: path)
        try served.start()
        let digest = try digest(served.uri)
        #expect(served.stop() == 0)
        return digest
    }

    /// The same for members that must stay as they are. "refused" when we do not start without a member.
    private func digestOfCopy(_ path: String) throws -> String {
        try withCopy(of: path) { copy in
            do { return try digest(servedFrom: copy) } catch let failure as ServedArray.Failure {
                guard failure.text.contains("was not stopped cleanly and lacks member") else { throw failure }
                return "refused"
            }
        }
    }

    private func withCopy<Result>(of path: String, _ body: (String) throws -> Result) throws -> Result {
        let directory = TemporaryDirectory()
        let copy = directory.path + "/copy"
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        try Shell.run("bash", ["-c", "cp --sparse=always '\(path)'/*.img '\(copy)'"])
        return try withExtendedLifetime(directory) { try body(copy) }
    }

    private func digests(_ path: String) throws -> String {
        try Shell.run("bash", ["-c", "cd '\(path)' && sha256sum *"]).output
    }
}

/// The members of a RAID 5 array of mdadm's, m0.img and so on in the order of their roles, and its shape.
private struct MDMembers {
    let paths: [String]
    let chunk: Int
    let dataOffset: Int
    let dataCount: Int

    init(_ directory: String) throws {
        let first = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/m0.img"), options: .alwaysMapped)
        func field(_ offset: Int, _ width: Int) -> Int {
            (0..<width).reduce(0) { $0 | Int(first[4096 + offset + $1]) << (8 * $1) }
        }
        paths = (0..<field(92, 4)).map { "\(directory)/m\($0).img" }
        chunk = field(88, 4) * 512
        dataOffset = field(128, 8) * 512
        dataCount = field(80, 8) * 512
    }

    /// Destroys the parity of the 4 KiB that were written last. The script writes them one by one.
    /// - Returns: the roles of the members that hold the parity and what was written.
    func tearLastWrite() throws -> (parity: Int, written: Int) {
        let page = (1237 + 4) * 512 / 4096 * 4096
        let columns = paths.count - 1
        let stripe = page / (chunk * columns)
        let parity = columns - stripe % paths.count
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: paths[parity]))
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(dataOffset + stripe * chunk + page % chunk))
        try file.write(contentsOf: Data(repeating: 0x77, count: 4096))
        return (parity, (parity + 1 + page / chunk % columns) % paths.count)
    }

    /// Whether the members' data adds up to nothing everywhere.
    func parityIsRight() throws -> Bool {
        var sum = [UInt64](repeating: 0, count: dataCount / 8)
        for path in paths {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            data.withUnsafeBytes { bytes in
                let words = UnsafeRawBufferPointer(rebasing: bytes[dataOffset..<dataOffset + dataCount])
                    .bindMemory(to: UInt64.self)
                for index in sum.indices { sum[index] ^= words[index] }
            }
        }
        return sum.allSatisfy { $0 == 0 }
    }
}
