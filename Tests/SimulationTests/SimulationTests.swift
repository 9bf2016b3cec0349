import Glibc
import Testing

@testable import Simulation

@Suite("Simulation")
struct SimulationTests {
    /// Different for each commit, so that time finds more; NBDEXT_SIMULATION_SEED says which.
    private static var seed: UInt64 {
        getenv("NBDEXT_SIMULATION_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
    }

    /// NBDEXT_SIMULATION_CRASHES says how many.
    private static var crashes: Int {
        getenv("NBDEXT_SIMULATION_CRASHES").flatMap { Int(String(cString: $0)) } ?? 2000
    }

    @Test("arrays keep their promises")
    func promises() throws {
        var run = SimulationRun(seed: Self.seed)
        print("simulation: seed \(Self.seed)")
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
