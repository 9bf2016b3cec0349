import Foundation
import LoadGenerator
import Platform
import TestSupport
import TestTraits
import Testing

/// Kills the driver of a server again and again, at random moments.
@Suite("The driver's process is killed", .serialized, .busy, .slow)
struct DriverDeathTests {
    private static let killCount = 26

    @Test(
        "and no request fails, nothing is lost, and nothing is left behind",
        .enabled(if: Shell.has("fio"), "fio is not installed"), arguments: ["bundled", "legacy"])
    func killed(mode: String) throws {
        let seed = SeededGenerator.seed
        let array = try ServedArray(
            level: 5, members: 4, options: ["--mode", mode, "--driver-host", "process"], keepsErrors: true)
        try array.start()
        try fio(array)
        let files = try count("fd", array)
        let threads = try count("task", array)
        let killer = Killer(of: array, count: Self.killCount, seed: seed)
        let killing = Thread { killer.run() }
        killing.start()
        while !killer.isDone { try fio(array) }
        try fio(array)
        #expect(killer.killed == Self.killCount, "seed \(seed)")
        // The last threads of the last client may be on their way out.
        #expect(try eventually { try count("fd", array) <= files && count("task", array) <= threads })
        #expect(Killer.children(of: array.identifier).count == 1)
        let server = array.identifier
        #expect(array.stop() == 0)
        #expect(Killer.children(of: server).isEmpty)
        let status = try Shell.run(nbdext, ["status", array.arrayPath, "--json"])
        #expect(status.output.contains("\"state\": \"clean\""), "\(status.output)")
    }

    /// Clients that send 32 requests in one call, which go by their processors' own pairs of rings.
    @Test("under four clients that send and receive in batches, and every block they read is right")
    func killedUnderBatches() throws {
        let seed = SeededGenerator.seed
        let array = try ServedArray(
            level: 5, members: 4, options: ["--driver-host", "process"], keepsErrors: true)
        try array.start()
        func load(_ connections: Int, _ block: Int, _ order: Workload.Order, reads: Int, _ end: LoadEnd) throws {
            var run = LoadRun(
                path: array.socket,
                workload: Workload("test", blockByteCount: block, order: order, readPercent: reads),
                load: LoadDepth(connectionCount: connections, depth: 32), end: end)
            run.isChecked = reads > 0
            let result = try run.execute()
            #expect(result.errorCount == 0 && result.mismatchCount == 0, "seed \(seed) \(array.errors.suffix(2000))")
        }
        try load(1, 1 << 20, .sequential, reads: 0, .afterOnePass)
        let killer = Killer(of: array, count: Self.killCount, seed: seed)
        let killing = Thread { killer.run() }
        killing.start()
        while !killer.isDone { try load(4, 4096, .random, reads: 70, .afterSeconds(0.5)) }
        try load(4, 4096, .random, reads: 70, .afterSeconds(0.2))
        #expect(killer.killed == Self.killCount, "seed \(seed)")
        #expect(array.stop() == 0)
    }

    private func fio(_ array: ServedArray) throws {
        do {
            try array.fioVerify(["--rw=randwrite", "--bsrange=4k-64k", "--size=16m", "--iodepth=16"])
        } catch let error as ServedArray.Failure {
            Issue.record("\(error.text.suffix(2000)) \(array.errors.suffix(2000))")
            throw error
        }
    }

    private func count(_ what: String, _ array: ServedArray) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(array.identifier)/\(what)").count
    }
}

/// Kills the children of a server. Most live until the clients have got on: a request that meets five drivers which die
/// of it fails, and on a busy machine a driver takes a while to begin.
private final class Killer: @unchecked Sendable {
    // SAFETY: the counts under `lock`; the generator belongs to the thread that runs it.
    private let server: Int32
    private let arrayPath: String
    private let count: Int
    /// More than all clients have under way.
    private static let progress = 200
    private var random: SeededGenerator
    private let lock = NSLock()
    private var killedSoFar = 0
    private var isOver = false

    init(of array: ServedArray, count: Int, seed: UInt64) {
        server = array.identifier
        arrayPath = array.arrayPath
        self.count = count
        random = SeededGenerator(seed: seed)
    }

    var isDone: Bool { lock.withLock { isOver } }
    var killed: Int { lock.withLock { killedSoFar } }

    func run() {
        var last: Int32 = 0
        var served = 0
        var mayHurry = true
        let end = Date().addingTimeInterval(Double(Needs.hangMinutes - 1) * 60)
        while killed < count, Date() < end {
            guard let child = Self.children(of: server).first, child != last else {
                usleep(2000)
                continue
            }
            // Now and then before the new process has said a word, but not twice in a row.
            if mayHurry, random.below(8) == 0 {
                usleep(UInt32(random.below(10_000)))
                mayHurry = false
            } else {
                while Date() < end, operationCount < served + Self.progress { usleep(5000) }
                usleep(UInt32(random.below(120_000)))
                mayHurry = true
            }
            served = operationCount
            guard kill(child, SIGKILL) == 0 else { continue }
            last = child
            lock.withLock { killedSoFar += 1 }
        }
        lock.withLock { isOver = true }
    }

    /// What the server has served so far.
    private var operationCount: Int {
        let text = (try? Shell.run(nbdext, ["top", arrayPath, "--prometheus"]).output) ?? ""
        return text.split(separator: "\n").filter { $0.hasPrefix("nbdext_export_operations_total{") }
            .compactMap { Int($0.split(separator: " ").last ?? "") }.reduce(0, +)
    }

    static func children(of process: Int32) -> [Int32] {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
        return tasks.flatMap { task in
            let text = try? String(contentsOfFile: "/proc/\(process)/task/\(task)/children", encoding: .utf8)
            return (text ?? "").split(separator: " ").compactMap { Int32($0) }
        }
    }
}
