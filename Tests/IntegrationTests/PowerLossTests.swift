import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// The power of a machine fails while clients write: its page cache is gone, and what is on its disk is judged by us
/// and by the real md driver.
@Suite("Loss of power", .serialized, .busy, .kernel)
struct PowerLossTests {
    private static let isAvailable =
        UserModeLinux.isAvailable
        && Shell.has("mkfs.ext4", "fio", "qemu-io", "mdadm", "losetup", "nbdcopy")
    private static let blockByteCount = 4096
    /// Of the part of the array that gets batches and flushes.
    private static let blockCount = 3072

    @Test(
        "what clients were told is durable is there, for us and for md, and all parity is right",
        .enabled(if: isAvailable, "user-mode-linux, e2fsprogs, fio, qemu-utils, mdadm, libnbd-bin or kmod is missing"),
        arguments: ["resync", "bitmap", "ppl"])
    func flushedDataStays(policy: String) throws {
        let life = Double.random(in: 4...9)
        let directory = TemporaryDirectory()
        let disk = directory.path + "/disk.img"
        let made = try Shell.run(
            "bash", ["-c", "truncate -s 256M '\(disk)' && mkfs.ext4 -q -F '\(disk)'"])
        #expect(made.status == 0, "\(made.errors)")
        let life1 = try UserModeLinux.boot("power-loss.sh", ["ubd0=\(disk)", "policy=\(policy)", "life=\(life)"])
        let durable = life1.output.split(whereSeparator: \.isNewline).last { $0.hasPrefix("DURABLE ") }
        #expect(!life1.output.contains("RESULT"), "after \(life) s: \(life1.output.suffix(3000))")
        let last = try #require(
            durable.flatMap { Int($0.dropFirst(8)) }, "after \(life) s: \(life1.output.suffix(3000))")
        let copied = try Shell.run(
            "bash", ["-c", "cp --sparse=always '\(disk)' '\(disk).ours'"])
        #expect(copied.status == 0, "\(copied.errors)")
        let findings = try UserModeLinux.judge(
            "power-loss-judge.sh", exchange: directory.path, ["ubd0=\(disk)", "ubd1=\(disk).ours"])
        for name in ["md", "ours-by-md"] {
            #expect(findings[name] == ["mismatches": "0", "degraded": "0"], "\(name), after \(life) s: \(findings)")
        }
        for name in ["md", "ours", "ours-by-md"] {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/\(name).img"))
            #expect(Self.lost(in: bytes, durable: last) == [], "\(name), batch \(last), after \(life) s")
        }
    }

    /// The blocks that hold what they may not hold when so many batches were durable. `power-loss.sh` writes the
    /// batches.
    private static func lost(in bytes: Data, durable last: Int) -> [Int] {
        guard bytes.count == blockCount * blockByteCount else { return Array(0..<blockCount) }
        var newest = [Int](repeating: 0, count: blockCount)
        for batch in 1...max(last, 1) where batch <= last {
            for index in 0..<8 { newest[block(index, of: batch)] = batch }
        }
        // The next ones may have been written, as a whole or in part.
        var later: [Int: Set<UInt8>] = [:]
        for batch in last + 1...last + 3 {
            for index in 0..<8 { later[block(index, of: batch), default: []].insert(pattern(of: batch)) }
        }
        return (0..<blockCount).filter { block in
            let expected = newest[block] == 0 ? 0 : pattern(of: newest[block])
            let found = Set(bytes[block * blockByteCount..<(block + 1) * blockByteCount])
            return !found.isSubset(of: later[block, default: []].union([expected]))
        }
    }

    private static func block(_ index: Int, of batch: Int) -> Int { (batch * 7919 + index * 1009) % blockCount }
    private static func pattern(of batch: Int) -> UInt8 { UInt8(batch % 255 + 1) }
}
