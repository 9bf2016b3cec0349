import Platform

/// Runs lives of arrays, one after another.
///
/// Life i has the run's seed plus i, so a run with that seed finds a fault of this life again at once.
///
/// Threads: one.
package struct SimulationRun {
    /// The results of a run so far.
    package struct Tally: Sendable {
        /// Lives that have ended.
        package var lives = 0
        /// Steps of all lives.
        package var steps = 0
        /// Crashes of all lives.
        package var crashes = 0
        /// The events, by RAID level and consistency policy.
        package var lifeTallies: [String: LifeTally] = [:]
        /// A hash of every choice that was made: equal runs have equal digests.
        package var digest: UInt64 = 0
    }

    /// A promise that was not kept, and the command that shows it again.
    package struct Failure: Error, CustomStringConvertible {
        /// The seed of the life.
        package let seed: UInt64
        /// The step of the life at which the fault was seen.
        package let step: Int
        /// The promise.
        package let fault: SimulationFault
        /// The array's shape, and the last events that concern the sector in question.
        package let lines: [String]

        package var description: String {
            (["seed \(seed), step \(step): \(fault)"] + lines
                + ["again: nbdext-sim --seed \(seed) --steps \(step)"]).joined(separator: "\n")
        }
    }

    private static let historyLimit = 60

    /// The results so far.
    package private(set) var tally = Tally()
    private var seed: UInt64

    package init(seed: UInt64) { self.seed = seed }

    /// Runs the next life.
    /// - Parameter steps: the most steps of the life.
    /// - Throws: when a promise was not kept.
    package mutating func live(steps: Int) throws(Failure) {
        let life = ArrayLife(seed: seed)
        do throws(SimulationFault) { try life.run(steps: steps) } catch {
            let lines =
                ["  \(life.shape.description); \(life.workload.description)"]
                + life.history.lines(sector: error.sector, shape: life.shape, limit: Self.historyLimit)
            throw Failure(seed: seed, step: life.step, fault: error, lines: lines)
        }
        seed &+= 1
        tally.lives += 1
        tally.steps += life.step
        tally.crashes += life.crashCount
        tally.lifeTallies[life.shape.protection, default: LifeTally()].add(life.tally)
        tally.digest = SeededGenerator.mix(tally.digest ^ life.world.random.next())
    }
}
