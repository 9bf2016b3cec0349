import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

@testable import Statistics

/// What `nbdext top` says of a server after traffic that is known exactly.
@Suite("top", .blocks, .slow, .enabled(if: Shell.has("qemu-io", "nbdcopy")))
struct TopTests {
    private struct Report: Decodable {
        var total: StatisticsSnapshot
    }

    private func total(_ array: ServedArray) throws -> StatisticsSnapshot {
        let result = try Shell.run(
            nbdext, ["top", array.arrayPath, "--once", "--json", "--interval", "0.1"])
        #expect(result.status == 0, "\(result.errors)")
        return try JSONDecoder().decode(Report.self, from: Data(result.output.utf8)).total
    }

    @Test("every byte that was moved is there, and nothing else", arguments: ["bundled", "legacy", "kext"])
    func exact(mode: String) throws {
        let array = try ServedArray(level: 5, members: 3, options: ["--mode", mode])
        try array.start()
        let before = try total(array)
        try array.qemuIO(
            "write 0 3M", "write 1000 37", "read 512 64K", "read 5 7", "write -z 4M 1M", "discard 8M 2M", "flush")
        let after = try total(array)
        let kinds = try #require(after.since(before).exports.first).kinds
        #expect(kinds[.read].byteCount == 65536 + 7)
        #expect(kinds[.write].byteCount == 3 << 20 + 37)
        #expect(kinds[.trim].byteCount == 2 << 20)
        #expect(kinds[.zero].byteCount == 1 << 20)
        #expect(kinds[.read].operationCount == 2)
        #expect(kinds[.flush].operationCount >= 1)
        #expect(after.exports.map(\.queueDepth) == [0])
        #expect(after.exports[0].total.errorCount == 0)
        #expect(kinds[.write].latency.percentile(0.5)! > 1000)
        #expect(after.bundles.callCount > 0)
        #expect(after.driver.mode == mode)
        #expect(after.driver.host == (mode == "kext" ? "kernel" : "in-process"))
        #expect(after.arrays[0].state == .clean)
        #expect(after.arrays[0].writes!.fullStripe > 0)
        // Data and parity of the large write, at least.
        #expect(after.arrays[0].members.reduce(0) { $0 + $1.kinds[.write].byteCount } >= 9 << 19)
        #expect(array.stop() == 0)
    }

    @Test("nbdcopy's bytes are in the Prometheus text, of the raw and of the buffered export")
    func prometheus() throws {
        let array = try ServedArray(level: 5, members: 3, options: ["--buffered"])
        try array.start()
        let source = array.directory.path + "/source"
        try Data(repeating: 7, count: 5 << 20).write(to: URL(fileURLWithPath: source))
        let buffered = "nbd+unix:///array.buffered?socket=\(array.socket)"
        #expect(try Shell.run("nbdcopy", [source, buffered]).status == 0)
        #expect(try Shell.run("nbdcopy", [source, array.uri]).status == 0)
        let result = try Shell.run(nbdext, ["top", array.arrayPath, "--prometheus"])
        #expect(result.status == 0, "\(result.errors)")
        for export in ["array", "array.buffered"] {
            let line = "nbdext_export_bytes_total{export=\"\(export)\",kind=\"write\"} \(5 << 20)\n"
            #expect(result.output.contains(line), "\(line) is missing")
        }
        #expect(
            result.output.contains("nbdext_export_latency_seconds_bucket{export=\"array\",kind=\"write\",le=\"+Inf\"}"))
        #expect(array.stop() == 0)
    }

    @Test("a member that is missing is named, and errors are counted")
    func degraded() throws {
        let array = try ServedArray(level: 5, members: 3)
        try array.removeMember(1)
        try array.start(["--read-only"])
        #expect(try Shell.run("qemu-io", ["-r", "-f", "raw", "-c", "read 0 1M", array.uri]).status == 0)
        let snapshot = try total(array)
        #expect(snapshot.arrays[0].state == .degraded)
        #expect(snapshot.arrays[0].missingMembers == [1])
        #expect(snapshot.arrays[0].members[1].kinds.values.allSatisfy { $0.operationCount == 0 })
        let text = try Shell.run(nbdext, ["top", array.arrayPath, "--once", "--interval", "0.1"]).output
        #expect(text.contains("degraded, without member 1"))
        #expect(!text.contains("\u{1B}"), "no control codes where there is no terminal")
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 80 })
        #expect(array.stop() == 0)
    }

    @Test("without a server there is an error that says so")
    func noServer() throws {
        let directory = TemporaryDirectory()
        let result = try Shell.run(nbdext, ["top", directory.path, "--once"])
        #expect(result.status != 0)
        #expect(result.errors.contains("no server listens on \(directory.path)/nbdext.control"))
        #expect(try Shell.run(nbdext, ["top"]).errors.contains("--control PATH"))
        #expect(try Shell.run(nbdext, ["top", directory.path, "--interval", "0"]).status != 0)
    }
}
