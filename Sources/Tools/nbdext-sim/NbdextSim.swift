import ArgumentParser
import Glibc
import Platform
import Simulation

/// Runs the card and the array store over simulated members, which it crashes and damages.
@main
struct NbdextSim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nbdext-sim",
        abstract: "Crash, break and recover simulated arrays, and compare them with a model.",
        discussion: """
            All that happens follows from the seed. A step is one random choice: a command sent, a member I/O ended, \
            a failure. A promise that was not kept ends the run with exit status 1 and the command that shows it again.
            """)

    @Option(help: "Where to begin; any number.")
    var seed: UInt64 = 1

    @Option(help: "How many steps to take, at least one life of an array.")
    var steps = 10_000_000

    func validate() throws {
        guard steps > 0 else { throw ValidationError("--steps is the number of steps to take: say 1 or more") }
    }

    func run() throws {
        var run = SimulationRun(seed: seed)
        let start = monotonicNanoseconds()
        var reported = start
        print("seed \(seed)")
        while run.tally.steps < steps {
            do throws(SimulationRun.Failure) { try run.live(steps: steps - run.tally.steps) } catch {
                print(error)
                throw ExitCode(1)
            }
            let now = monotonicNanoseconds()
            if now - reported > 5_000_000_000 {
                reported = now
                report(run.tally, nanoseconds: now - start)
            }
        }
        report(run.tally, nanoseconds: monotonicNanoseconds() - start)
        for (protection, tally) in run.tally.lifeTallies.sorted(by: { $0.key < $1.key }) {
            print("\(protection): \(tally.crashes) crashes")
            for event in LifeTally.Event.allCases where tally[event] > 0 {
                print("    \(tally[event]) \(event.rawValue)")
            }
        }
        print("all promises were kept")
    }

    /// Prints the run's progress, and flushes it, so that a file shows it at once.
    private func report(_ tally: SimulationRun.Tally, nanoseconds: UInt64) {
        let rate = Double(tally.crashes) * 1e9 / Double(max(1, nanoseconds))
        print("\(tally.steps) steps, \(tally.lives) arrays, \(tally.crashes) crashes, \(Int(rate)) crashes/s")
        fflush(nil)
    }
}
