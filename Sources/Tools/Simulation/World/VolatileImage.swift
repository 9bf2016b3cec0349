import Glibc
import Platform

/// The bytes of a medium behind a volatile cache: what reads see, what is durable, and every sector version in between.
///
/// A crash keeps any of the versions that were not made durable, sector by sector: writeback takes pages in any order, and
/// 512 bytes are what media write as a whole.
///
/// Threads: one.
final class VolatileImage {
    static let sectorByteCount = 512
    private static let pageByteCount = 4096

    /// What a loss of power leaves of the sector versions that are not durable.
    enum Survival: CaseIterable {
        case none
        case all
        case few
        case half
        case most
        /// The oldest ones, up to some moment.
        case prefix
    }

    private struct Version {
        var sector: Int32
        /// Where its bytes are; -1 for zeros.
        var slot: Int32
        /// When the operation that wrote it was over, or one of the times below: no flush can cover it.
        var completedAt: UInt64
    }

    /// The time of what is under way.
    static let underWay = UInt64.max
    /// The time of what a failed flush dropped.
    private static let dropped = UInt64.max - 1

    let sectorCount: Int
    /// What the medium does not give back.
    private(set) var damaged = DamagedSectors()
    private let mappedByteCount: Int
    private let current: UnsafeMutableRawPointer
    private let durable: UnsafeMutableRawPointer
    private var versions: [Version] = []
    private var slots: UnsafeMutableRawPointer
    private var slotCapacity = 256
    private var freeSlots: [Int32]
    /// Pages that were ever written: others hold zeros.
    private var isTouched: [Bool]
    /// Pages of which a failed flush has dropped something: the medium may have other than what is read.
    private var isDropped: [Bool]
    /// For `flush`: the last covered version of each sector, or -1.
    private var lastCovered: [Int32]

    init(byteCount: UInt64) {
        let pageCount = (Int(byteCount) + Self.pageByteCount - 1) / Self.pageByteCount
        sectorCount = Int(byteCount) / Self.sectorByteCount
        mappedByteCount = pageCount * Self.pageByteCount
        current = Self.map(mappedByteCount)
        durable = Self.map(mappedByteCount)
        slots = .allocate(byteCount: slotCapacity * Self.sectorByteCount, alignment: Self.pageByteCount)
        freeSlots = (0..<Int32(slotCapacity)).reversed()
        isTouched = Array(repeating: false, count: pageCount)
        isDropped = isTouched
        lastCovered = Array(repeating: -1, count: sectorCount)
    }

    deinit {
        munmap(current, mappedByteCount)
        munmap(durable, mappedByteCount)
        slots.deallocate()
    }

    /// Most pages are never touched: memory that the kernel makes zero when it is.
    private static func map(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        precondition(memory != MAP_FAILED, "no memory for a simulated medium")
        return memory!
    }

    // MARK: Access

    /// What a read of the medium sees from a sector on.
    func bytes(ofSector sector: Int) -> UnsafeRawPointer {
        UnsafeRawPointer(current + sector * Self.sectorByteCount)
    }

    /// Writes one sector.
    /// - Parameters:
    ///   - bytes: nil for zeros.
    ///   - completedAt: `underWay`, or when the operation was over.
    func put(_ sector: Int, _ bytes: UnsafeRawPointer?, completedAt: UInt64) {
        let place = current + sector * Self.sectorByteCount
        var slot: Int32 = -1
        if let bytes {
            place.copyMemory(from: bytes, byteCount: Self.sectorByteCount)
            slot = claimSlot()
            pointer(slot).copyMemory(from: bytes, byteCount: Self.sectorByteCount)
        } else {
            place.initializeMemory(as: UInt8.self, repeating: 0, count: Self.sectorByteCount)
        }
        isTouched[sector * Self.sectorByteCount / Self.pageByteCount] = true
        if !damaged.isEmpty { damaged.wrote(sector) }
        versions.append(Version(sector: Int32(sector), slot: slot, completedAt: completedAt))
    }

    /// The first byte from `byteOffset` on in a page that is not all zeros, here or on the medium; or nil.
    func nextData(from byteOffset: Int) -> Int? {
        for page in byteOffset / Self.pageByteCount..<isTouched.count where isTouched[page] {
            let words = (current + page * Self.pageByteCount).assumingMemoryBound(to: UInt64.self)
            if isDropped[page] || (0..<Self.pageByteCount / 8).contains(where: { words[$0] != 0 }) {
                return max(byteOffset, page * Self.pageByteCount)
            }
        }
        return nil
    }

    /// Lets a sector be one that cannot be read, on the medium.
    func damage(_ sector: Int, _ kind: DamagedSectors.Kind) {
        damaged.damage(sector, kind, isCached: versions.contains { $0.sector == Int32(sector) })
    }

    /// Lets a sector be read again, as it was.
    func mend(_ sector: Int) { damaged.mend(sector) }

    func mendBeyondHealing() { damaged.mendBeyondHealing() }

    func mendAll() { damaged.mendAll() }

    /// Calls `body` with each sector that has versions which are not durable; more than once, perhaps.
    func forEachVolatileSector(_ body: (Int) -> Void) { for version in versions { body(Int(version.sector)) } }

    // MARK: Copies

    /// All that reads see now.
    var content: [UInt8] {
        Array(UnsafeRawBufferPointer(start: current, count: sectorCount * Self.sectorByteCount))
    }

    /// Becomes a copy that was made of it once, durably.
    func restore(_ content: [UInt8]) {
        for version in versions where version.slot >= 0 { freeSlots.append(version.slot) }
        versions.removeAll(keepingCapacity: true)
        current.copyMemory(from: content, byteCount: content.count)
        durable.copyMemory(from: content, byteCount: content.count)
        for page in isTouched.indices {
            isTouched[page] = true
            isDropped[page] = false
        }
    }

    // MARK: Flushing

    /// Makes durable what was over at a time, of some sectors or of all.
    func flush(covering time: UInt64, of sectors: Range<Int>? = nil) {
        for (index, version) in versions.enumerated()
        where version.completedAt <= time && sectors?.contains(Int(version.sector)) ?? true {
            lastCovered[Int(version.sector)] = Int32(index)
        }
        var kept = 0
        for index in versions.indices {
            let version = versions[index]
            let last = lastCovered[Int(version.sector)]
            if last < Int32(index) {
                versions[kept] = version
                kept += 1
            } else {
                if last == Int32(index) { makeDurable(version) }
                if version.slot >= 0 { freeSlots.append(version.slot) }
            }
            if last == Int32(index) { lastCovered[Int(version.sector)] = -1 }
        }
        versions.removeLast(versions.count - kept)
    }

    /// A flush failed: what it would have covered is dropped from the cache's list of what to write, so that no later
    /// flush writes it either. Whether it reached the medium nobody knows.
    func failFlush(covering time: UInt64) {
        for index in versions.indices where versions[index].completedAt <= time {
            versions[index].completedAt = Self.dropped
            isDropped[Int(versions[index].sector) * Self.sectorByteCount / Self.pageByteCount] = true
        }
    }

    /// Operations under way in a range are over, whatever they did.
    func complete(_ sectors: Range<Int>, at time: UInt64) {
        for index in versions.indices
        where versions[index].completedAt == Self.underWay && sectors.contains(Int(versions[index].sector)) {
            versions[index].completedAt = time
        }
    }

    /// The process has ended, and the system has not: what was written stays, and a later flush covers it. But for what a
    /// failed flush dropped: that is seen until the cache needs its room, and no flush ever covers it.
    func endProcess(at time: UInt64, _ random: inout SeededGenerator) {
        var newest: [Int32: Bool] = [:]
        for index in versions.indices {
            let isDropped = versions[index].completedAt == Self.dropped
            if !isDropped { versions[index].completedAt = time }
            if isDropped || newest[versions[index].sector] != nil { newest[versions[index].sector] = isDropped }
        }
        guard !newest.isEmpty, random.chance(500) else { return }
        evict(Set(newest.filter(\.value).keys), &random)
    }

    /// The cache forgets what was dropped last of some sectors: what the medium has is seen.
    private func evict(_ sectors: Set<Int32>, _ random: inout SeededGenerator) {
        var kept: [Version] = []
        for version in versions {
            guard sectors.contains(version.sector), version.completedAt == Self.dropped else {
                kept.append(version)
                continue
            }
            if random.chance(300) { makeDurable(version) }
            if version.slot >= 0 { freeSlots.append(version.slot) }
        }
        versions = kept
        for sector in sectors {
            let offset = Int(sector) * Self.sectorByteCount
            damaged.forgot(Int(sector))
            (current + offset).copyMemory(from: durable + offset, byteCount: Self.sectorByteCount)
        }
    }

    /// The power has failed.
    func losePower(_ random: inout SeededGenerator) {
        let survival = random.pick(Survival.allCases)
        let cut = random.below(versions.count + 1)
        for (index, version) in versions.enumerated() {
            let isKept =
                switch survival {
                case .none: false
                case .all: true
                case .few: random.chance(100)
                case .half: random.chance(500)
                case .most: random.chance(900)
                case .prefix: index < cut
                }
            if isKept { makeDurable(version) }
            if version.slot >= 0 { freeSlots.append(version.slot) }
        }
        for version in versions {
            let offset = Int(version.sector) * Self.sectorByteCount
            damaged.forgot(Int(version.sector))
            (current + offset).copyMemory(from: durable + offset, byteCount: Self.sectorByteCount)
        }
        versions.removeAll(keepingCapacity: true)
        for page in isDropped.indices { isDropped[page] = false }
    }

    private func makeDurable(_ version: Version) {
        if !damaged.isEmpty { damaged.reachedMedium(Int(version.sector)) }
        let place = durable + Int(version.sector) * Self.sectorByteCount
        if version.slot >= 0 {
            place.copyMemory(from: pointer(version.slot), byteCount: Self.sectorByteCount)
        } else {
            place.initializeMemory(as: UInt8.self, repeating: 0, count: Self.sectorByteCount)
        }
    }

    // MARK: Slots

    private func pointer(_ slot: Int32) -> UnsafeMutableRawPointer { slots + Int(slot) * Self.sectorByteCount }

    private func claimSlot() -> Int32 {
        if let slot = freeSlots.popLast() { return slot }
        let larger = UnsafeMutableRawPointer.allocate(
            byteCount: 2 * slotCapacity * Self.sectorByteCount, alignment: Self.pageByteCount)
        larger.copyMemory(from: slots, byteCount: slotCapacity * Self.sectorByteCount)
        slots.deallocate()
        slots = larger
        freeSlots = (Int32(slotCapacity)..<Int32(2 * slotCapacity)).reversed()
        slotCapacity *= 2
        return freeSlots.popLast()!
    }
}
