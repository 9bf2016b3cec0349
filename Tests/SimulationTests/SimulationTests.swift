import TestTraits
import Testing

@testable import Simulation

@Suite("Simulation", .blocks)
struct SimulationTests {
    /// Few, since this build checks what a release does not; SimulationProgramTests has many.
    @Test("arrays keep their promises", .slow)
    func promises() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("simulation: seed \(seed)")
        var run = SimulationRun(seed: seed)
        while run.tally.crashes < 100 { try run.live(steps: 100_000) }
    }

    @Test("a seed gives the same run each time, and another one another run", .slow)
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
