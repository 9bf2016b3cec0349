import Foundation
import TestTraits
import Testing

/// The simulation as people run it (Docs/simulation.md), from a seed that each commit has for itself.
@Suite("Simulation by the program", .blocks, .slow)
struct SimulationProgramTests {
    /// NBDEXT_SIMULATION_SEED, or what follows from the commit.
    private static func seed() throws -> UInt64 {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["NBDEXT_SIMULATION_SEED"].flatMap({ UInt64($0) }) { return seed }
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
        let commit = try Shell.run("git", ["-C", root, "rev-parse", "HEAD"]).output
        return UInt64(commit.prefix(12), radix: 16) ?? 1
    }

    @Test("arrays keep their promises")
    func promises() throws {
        let steps = ProcessInfo.processInfo.environment["NBDEXT_SIMULATION_STEPS"] ?? "2000000"
        let result = try Shell.run(
            nbdext + "-sim", ["--seed", "\(try Self.seed())", "--steps", steps])
        #expect(result.status == 0, "\(result.output)")
        let counts = result.output.matches(of: /(\d+) crashes,/).compactMap { Int($0.1) }
        #expect((counts.last ?? 0) > 5000, "\(result.output)")
        print("simulation: \(result.output.split(separator: "\n").prefix(1).joined()), \(counts.last ?? 0) crashes")
    }
}
