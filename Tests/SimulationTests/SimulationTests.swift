import Foundation
import TestTraits
import Testing

@testable import Simulation

@Suite("Simulation", .blocks)
struct SimulationTests {
    /// NBDEXT_SIMULATION_SEED, or what follows from the commit, so that each one looks somewhere else.
    private static var seed: UInt64 {
        if let text = getenv("NBDEXT_SIMULATION_SEED"), let seed = UInt64(String(cString: text)) { return seed }
        let git = Process()
        git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        git.arguments = ["git", "rev-parse", "HEAD"]
        git.currentDirectoryURL = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let output = Pipe()
        git.standardOutput = output
        git.standardError = FileHandle.nullDevice
        guard (try? git.run()) != nil else { return 1 }
        let hash = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        git.waitUntilExit()
        return UInt64(hash.prefix(12), radix: 16) ?? 1
    }

    /// NBDEXT_SIMULATION_CRASHES says how many.
    private static var crashes: Int {
        getenv("NBDEXT_SIMULATION_CRASHES").flatMap { Int(String(cString: $0)) } ?? 2000
    }

    @Test("arrays keep their promises")
    func promises() throws {
        let seed = Self.seed
        var run = SimulationRun(seed: seed)
        print("simulation: seed \(seed)")
        while run.tally.crashes < Self.crashes { try run.live(steps: 100_000) }
        print("simulation: \(run.tally.crashes) crashes of \(run.tally.lives) arrays in \(run.tally.steps) steps")
    }

    @Test("a seed gives the same run each time, and another one another run")
    func determinism() throws {
        func digest(_ seed: UInt64) throws -> UInt64 {
            var run = SimulationRun(seed: seed)
            for _ in 0..<5 { try run.live(steps: 2000) }
            return run.tally.digest
        }
        #expect(try digest(7) == digest(7))
        #expect(try digest(7) != digest(8))
    }
}
