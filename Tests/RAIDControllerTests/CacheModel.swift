import Glibc
import Platform
import RAIDControllerInterface
import SCSI
import Synchronization
import TestSupport

/// Counts power cuts, so that others can tell whether one fell into what they did.
final class PowerCuts: Sendable {
    let begun = Atomic<Int>(0)
    let ended = Atomic<Int>(0)
}

/// One user of a disk, who knows what every sector of its own may hold: the last flushed value, or a later one.
///
/// The disk is divided into regions that do not end at pages; they belong to the users in turn.
///
/// Threads: one at a time.
final class CacheModel: @unchecked Sendable {
    static let regionSectorCount = 37
    static let regionCount = 60
    static let sectorCount = regionSectorCount * regionCount
    private static let placeByteCount = 256 << 10

    private enum Change {
        case none
        case write(isDurable: Bool)
        case zero
        case flush
        case read
    }

    private struct Step {
        var change = Change.none
        var sectors = 0..<0
        var command: CardDriver.Command
    }

    private var driver: CardDriver!
    private let user: Int
    private let lane: Int
    private let cuts: PowerCuts
    private var generator: SeededGenerator
    /// Power cuts whose outcome is in `history`.
    private var seenCuts = 0
    private var nextValue: UInt32 = 1
    /// What each sector may hold, oldest first: first the last durable value, last the latest one.
    private var history: [[UInt32]]
    private(set) var failures: [String] = []

    init(_ driver: CardDriver, user: Int, lane: Int, cuts: PowerCuts, seed: UInt64) {
        self.driver = driver
        self.user = user
        self.lane = lane
        self.cuts = cuts
        generator = SeededGenerator(seed: seed &+ UInt64(user))
        history = Array(repeating: [0], count: Self.sectorCount)
    }

    /// Does things with the disk, and looks at every answer.
    func run(batches: Int) {
        for _ in 0..<batches where failures.isEmpty {
            var regions = (0..<Self.regionCount).filter { $0 % 2 == user }.shuffled(using: &generator)
            var steps: [Step] = []
            let count = Int.random(in: 1...4, using: &generator)
            for place in 0..<count { steps.append(makeStep(region: regions.removeLast(), place: place)) }
            let answers = execute(steps)
            let isCut = cuts.begun.load(ordering: .sequentiallyConsistent) != seenCuts
            for (step, answer) in zip(steps, answers) where answer.status != 0 || answer.transportError != 0 {
                // A flush fails when what it was to flush is dropped.
                if case .flush = step.change, isCut { continue }
                failures.append("\(step.change) of \(step.sectors): status \(answer.status), sense \(answer.sense[2])")
            }
            // What was answered before the flush is durable; what goes on beside it may not be.
            if !isCut && steps.contains(where: { if case .flush = $0.change { true } else { false } }) {
                for sector in history.indices { history[sector].removeFirst(history[sector].count - 1) }
            }
            for (place, step) in steps.enumerated() { apply(step, place, isCut) }
            if isCut { examine() }
        }
    }

    /// Reads everything after a power cut, and learns what is left.
    func examine() {
        repeat {
            seenCuts = cuts.ended.load(ordering: .sequentiallyConsistent)
            for first in stride(from: 0, to: Self.sectorCount, by: Self.placeByteCount / 512) {
                let sectors = first..<min(first + Self.placeByteCount / 512, Self.sectorCount)
                let step = Step(change: .read, sectors: sectors, command: transfer(sectors, place: 0, isWrite: false))
                if execute([step])[0].status != 0 { failures.append("reading \(sectors) after a power cut") }
                check(sectors, place: 0) { history, value in
                    guard let index = history.lastIndex(of: value) else { return false }
                    history.removeLast(history.count - 1 - index)
                    return true
                }
            }
        } while cuts.begun.load(ordering: .sequentiallyConsistent) != seenCuts
    }

    /// Flushes everything.
    func flush() -> Bool { execute([Step(command: CardDriver.Command(cdb: .synchronizeCache10))])[0].status == 0 }

    /// Lets go of the card.
    func leave() { driver = nil }

    /// Whether another card finds the latest values of this user's sectors.
    func isFound(by other: CardFixture) -> Bool {
        for sector in 0..<Self.sectorCount where isOwn(sector) {
            guard other.transfer(false, lba: UInt64(sector), blocks: 1).status == 0 else { return false }
            if history[sector].last != value(of: sector, at: other.data) { return false }
        }
        return true
    }

    // MARK: Steps

    private func makeStep(region: Int, place: Int) -> Step {
        let bounds = region * Self.regionSectorCount..<(region + 1) * Self.regionSectorCount
        let first = Int.random(in: bounds, using: &generator)
        let sectors = first..<Int.random(in: first + 1...bounds.upperBound, using: &generator)
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<50:
            let isDurable = Int.random(in: 0..<8, using: &generator) == 0
            fill(sectors, place)
            return Step(
                change: .write(isDurable: isDurable), sectors: sectors,
                command: transfer(sectors, place: place, isWrite: true, forced: isDurable))
        case 50..<58:
            let cdb = CommandDescriptorBlock.writeZeroes16(
                lba: UInt64(first), blockCount: UInt32(sectors.count), unmap: Bool.random(using: &generator))
            return Step(change: .zero, sectors: sectors, command: CardDriver.Command(cdb: cdb))
        case 58..<63: return Step(change: .flush, command: CardDriver.Command(cdb: .synchronizeCache10))
        case 63..<68:
            var cdb = CommandDescriptorBlock(.verify10, byteCount: 10)
            cdb.store(UInt32(first), at: 2)
            cdb.store(UInt16(sectors.count), at: 7)
            return Step(sectors: sectors, command: CardDriver.Command(cdb: cdb))
        default:
            return Step(
                change: .read, sectors: sectors, command: transfer(sectors, place: place, isWrite: false))
        }
    }

    private func apply(_ step: Step, _ place: Int, _ isCut: Bool) {
        switch step.change {
        case .none, .flush: break
        case .write(let isDurable):
            for sector in step.sectors {
                let value = value(of: sector, at: memory(place) + (sector - step.sectors.lowerBound) * 512)!
                if isDurable { history[sector] = [value] } else { history[sector].append(value) }
            }
        case .zero: for sector in step.sectors { history[sector].append(0) }
        case .read:
            check(step.sectors, place: place) { history, value in
                isCut ? history.contains(value) : history.last == value
            }
        }
    }

    private func check(_ sectors: Range<Int>, place: Int, _ isRight: (inout [UInt32], UInt32) -> Bool) {
        for sector in sectors where isOwn(sector) {
            let value = value(of: sector, at: memory(place) + (sector - sectors.lowerBound) * 512)
            if let value, isRight(&history[sector], value) { continue }
            failures.append("sector \(sector) of user \(user) is \(value ?? .max), not of \(history[sector])")
        }
    }

    // MARK: Data

    private func isOwn(_ sector: Int) -> Bool { sector / Self.regionSectorCount % 2 == user }

    private func offset(_ place: Int) -> Int { (user * 4 + place) * Self.placeByteCount }
    private func memory(_ place: Int) -> UnsafeMutableRawPointer { driver.data + offset(place) }

    /// Fills sectors with a value that was never there. Each word holds the sector's number too.
    private func fill(_ sectors: Range<Int>, _ place: Int) {
        let words = memory(place).assumingMemoryBound(to: UInt64.self)
        for (index, sector) in sectors.enumerated() {
            (words + index * 64).update(repeating: UInt64(sector) << 32 | UInt64(nextValue), count: 64)
        }
        nextValue += 1
    }

    /// The value that a sector's data holds, 0 for zeros; nil if it is not whole, or another's.
    private func value(of sector: Int, at memory: UnsafeMutableRawPointer) -> UInt32? {
        let words = UnsafeBufferPointer(start: memory.assumingMemoryBound(to: UInt64.self), count: 64)
        guard words.allSatisfy({ $0 == words[0] }), words[0] == 0 || Int(words[0] >> 32) == sector else { return nil }
        return UInt32(truncatingIfNeeded: words[0])
    }

    private func transfer(
        _ sectors: Range<Int>, place: Int, isWrite: Bool, forced: Bool = false
    ) -> CardDriver.Command {
        CardDriver.Command(
            cdb: .transfer(
                isWrite: isWrite, lba: UInt64(sectors.lowerBound), blockCount: UInt32(sectors.count),
                forceUnitAccess: forced),
            byteCount: sectors.count * 512, offset: offset(place), isWrite: isWrite)
    }

    private func execute(_ steps: [Step]) -> [RAIDCompletionDescriptor] {
        driver.execute(steps.map(\.command), lane: lane, firstTag: UInt32(user * 100))
    }
}
