import BlockStorage
import BufferCache
import Platform
import Synchronization
import TestSupport

/// Cuts a device's power, and lets others find out whether that happened between two moments.
final class PowerCutter: Sendable {
    private let device: BufferedBlockDevice
    /// Odd during a cut.
    private let count = Atomic<UInt64>(0)

    init(device: BufferedBlockDevice) { self.device = device }

    func cut() {
        count.add(1, ordering: .sequentiallyConsistent)
        _ = device.powerCut()
        count.add(1, ordering: .sequentiallyConsistent)
    }

    /// The same at two moments if no cut came between; nil during a cut.
    var moment: UInt64? {
        let now = count.load(ordering: .sequentiallyConsistent)
        return now % 2 == 0 ? now : nil
    }
}

/// A client that owns every so many sectors of a device whose power is cut at any time. Each sector has one number all
/// over it. The client knows which numbers a sector may have: the one that a flush made durable, and all later ones.
final class SectorOwner {
    private let client: CacheClient
    private let cutter: PowerCutter
    private let sectors: [Int]
    private var random: SeededGenerator
    /// What a sector may hold, the oldest first.
    private var possible: [Int: [UInt64]] = [:]
    /// When the last number of a sector was written, if it is not durable.
    private var writtenAt: [Int: UInt64] = [:]
    private var next: UInt64
    /// How many sectors a flush made durable.
    private(set) var durableCount = 0

    init(
        client: CacheClient, cutter: PowerCutter, index: Int, count: Int, sectorCount: Int, random: SeededGenerator
    ) {
        self.client = client
        self.cutter = cutter
        self.random = random
        sectors = Array(stride(from: index, to: sectorCount, by: count))
        next = UInt64(index) << 32 + 1
    }

    /// - Returns: what went wrong first.
    func run(rounds: Int) -> String? {
        for _ in 0..<rounds {
            for sector in (0..<12).map({ _ in sectors.randomElement(using: &random)! }) {
                if Bool.random(using: &random) {
                    write(sector)
                } else if let failure = read(sector) {
                    return failure
                }
            }
            if Bool.random(using: &random), client.perform(.flush) == .none { settle() }
        }
        for sector in sectors { if let failure = read(sector) { return failure } }
        return nil
    }

    /// After a flush: what was written since the last cut is durable.
    private func settle() {
        guard let now = cutter.moment else { return }
        for (sector, moment) in writtenAt where moment == now {
            possible[sector] = [possible[sector]!.last!]
            writtenAt[sector] = nil
            durableCount += 1
        }
    }

    private func write(_ sector: Int) {
        let number = next
        next += 1
        let memory = client.buffer(0).assumingMemoryBound(to: UInt64.self)
        for index in 0..<64 { memory[index] = number }
        possible[sector, default: [0]].append(number)
        let isDurable = Int.random(in: 0..<8, using: &random) == 0
        writtenAt[sector] = cutter.moment
        let error = client.perform(
            .write, at: sector * 512, count: 512, flags: isDurable ? .forceUnitAccess : [])
        if error != .none { writtenAt[sector] = nil }
        if error == .none && isDurable { possible[sector] = [number] }
    }

    private func read(_ sector: Int) -> String? {
        guard client.perform(.read, at: sector * 512, count: 512) == .none else { return "a read failed" }
        let memory = client.buffer(0).assumingMemoryBound(to: UInt64.self)
        let number = memory[0]
        if (1..<64).contains(where: { memory[$0] != number }) { return "sector \(sector) is torn" }
        let allowed = possible[sector] ?? [0]
        return allowed.contains(number) ? nil : "sector \(sector) has \(number), not one of \(allowed)"
    }
}
