import Glibc
import Platform

/// The bytes of a medium behind a volatile cache: the content that reads see, the durable content, and every version of
/// a sector in between.
///
/// After a crash, each sector has any of its versions that were not durable: writeback takes pages in any order, and
/// media write 512 bytes as a whole.
///
/// Threads: one.
final class VolatileImage {
    static let sectorByteCount = 512
    private static let pageByteCount = 4096

    /// The versions that survive a loss of power although they are not durable.
    enum Survival: CaseIterable {
        case none
        case all
        case few
        case half
        case most
        /// The oldest versions, up to some moment.
        case prefix
    }

    private struct Version {
        var sector: Int32
        /// The slot with its bytes; -1 for zeros.
        var slot: Int32
        /// When the operation that wrote it ended; or one of the times below, which no flush covers.
        var completedAt: UInt64
    }

    /// The time of versions whose operation is under way.
    static let underWay = UInt64.max
    /// The time of versions that a failed flush dropped.
    private static let dropped = UInt64.max - 1

    let sectorCount: Int
    /// The sectors that the medium cannot read.
    private(set) var damaged = DamagedSectors()
    private let mappedByteCount: Int
    private let current: UnsafeMutableRawPointer
    private let durable: UnsafeMutableRawPointer
    private var versions: [Version] = []
    private var slots: UnsafeMutableRawPointer
    private var slotCapacity = 256
    private var freeSlots: [Int32]
    /// By page: it was ever written. Other pages hold zeros.
    private var isTouched: [Bool]
    /// By page: a failed flush has dropped a part of it, so the medium may have another content than reads see.
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

    /// Anonymous memory, since most pages are never touched: the kernel clears a page at its first use.
    private static func map(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        precondition(memory != MAP_FAILED, "no memory for a simulated medium")
        return memory!
    }

    // MARK: Access

    /// The content that reads see, from a sector on.
    func bytes(ofSector sector: Int) -> UnsafeRawPointer {
        UnsafeRawPointer(current + sector * Self.sectorByteCount)
    }

    /// Writes one sector.
    /// - Parameters:
    ///   - bytes: nil for zeros.
    ///   - completedAt: `underWay`, or when the operation ended.
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

    /// The first byte at or behind `byteOffset` in a page that is not all zeros, in the cache or on the medium; or nil.
    func nextData(from byteOffset: Int) -> Int? {
        for page in byteOffset / Self.pageByteCount..<isTouched.count where isTouched[page] {
            let words = (current + page * Self.pageByteCount).assumingMemoryBound(to: UInt64.self)
            if isDropped[page] || (0..<Self.pageByteCount / 8).contains(where: { words[$0] != 0 }) {
                return max(byteOffset, page * Self.pageByteCount)
            }
        }
        return nil
    }

    /// Makes a sector of the medium unreadable.
    func damage(_ sector: Int, _ kind: DamagedSectors.Kind) {
        damaged.damage(sector, kind, isCached: versions.contains { $0.sector == Int32(sector) })
    }

    /// Makes a sector readable again, with its old content.
    func mend(_ sector: Int) { damaged.mend(sector) }

    func mendBeyondHealing() { damaged.mendBeyondHealing() }

    func mendAll() { damaged.mendAll() }

    /// Calls `body` for each version that is not durable, with its sector.
    func forEachVolatileSector(_ body: (Int) -> Void) { for version in versions { body(Int(version.sector)) } }

    // MARK: Copies

    /// The content that reads see now.
    var content: [UInt8] {
        Array(UnsafeRawBufferPointer(start: current, count: sectorCount * Self.sectorByteCount))
    }

    /// Replaces the content by an older copy, durably.
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

    /// Makes the versions durable whose operations had ended at a time, of some sectors or of all.
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

    /// Lets a flush fail: the versions that it would have covered are not to be written any more, so no later flush
    /// writes them either. They may have reached the medium or not.
    func failFlush(covering time: UInt64) {
        for index in versions.indices where versions[index].completedAt <= time {
            versions[index].completedAt = Self.dropped
            isDropped[Int(versions[index].sector) * Self.sectorByteCount / Self.pageByteCount] = true
        }
    }

    /// Ends the operations under way in a range, whatever they have done.
    func complete(_ sectors: Range<Int>, at time: UInt64) {
        for index in versions.indices
        where versions[index].completedAt == Self.underWay && sectors.contains(Int(versions[index].sector)) {
            versions[index].completedAt = time
        }
    }

    /// Ends the process while the system goes on: versions stay, and a later flush covers them. Versions that a failed
    /// flush dropped are the exception: they are seen until the cache evicts them, and no flush ever covers them.
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

    /// Evicts the dropped versions of some sectors from the cache: reads see the medium's content now.
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

    /// Loses power: a random choice of the versions that are not durable survives.
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
