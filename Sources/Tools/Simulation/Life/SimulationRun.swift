import Platform

/// Lives of arrays, one after another, until there were so many steps.
///
/// Life i has the seed plus i, so that a fault in it is found again at once by a run with that seed.
///
/// Threads: one.
package struct SimulationRun {
    /// What a run has done.
    package struct Tally: Sendable {
        package var lives = 0
        package var steps = 0
        package var crashes = 0
        /// By what keeps parity right: RAID 0 has none.
        package var lifeTallies: [String: LifeTally] = [:]
        /// Follows from every choice that was made: equal runs have equal ones.
        package var digest: UInt64 = 0
    }

    /// A promise that was not kept, and how to see it again.
    package struct Failure: Error, CustomStringConvertible {
        package let seed: UInt64
        package let step: Int
        package let fault: SimulationFault
        /// What the array is like, and what happened to the sector in question.
        package let lines: [String]

        package var description: String {
            (["seed \(seed), step \(step): \(fault)"] + lines
                + ["again: nbdext-sim --seed \(seed) --steps \(step)"]).joined(separator: "\n")
        }
    }

    private static let historyLimit = 60

    package private(set) var tally = Tally()
    private var seed: UInt64

    package init(seed: UInt64) { self.seed = seed }

    /// Lives one life.
    /// - Parameter steps: of which it has so many at most.
    package mutating func live(steps: Int) throws(Failure) {
        let life = ArrayLife(seed: seed)
        do throws(SimulationFault) { try life.run(steps: steps) } catch {
            let lines =
                ["  \(life.shape.description); \(life.habits.description)"]
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
