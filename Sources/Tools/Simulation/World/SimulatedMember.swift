import ArrayStore
import MemberIO
import Members
import Platform

/// A member of an array whose operations end at the time, with the status and in the order that a simulation chooses.
///
/// The card's lanes do I/O with it (`MemberEndpoint`), and opening and recovery read and write it (`PlacedMember`), so
/// both run unchanged.
///
/// Threads: one.
package final class SimulatedMember: PlacedMember, MemberEndpoint, @unchecked Sendable {
    // SAFETY: a simulation has one thread.

    /// The disk's name in notes and messages.
    package let name: String
    /// The size of the disk in bytes.
    package let byteCount: UInt64
    package var place: MemberPlace { .endpoint(self) }
    let world: SimulatedWorld
    let image: VolatileImage
    /// Every operation fails.
    var isDead = false
    /// A failed flush has dropped data: reads of it do not show what is on the medium.
    private(set) var hasDropped = false
    /// By page of 4 KiB: the page has space in the file system.
    private var isAllocated: [Bool]
    private static let pageSectorCount = 8

    init(name: String, byteCount: UInt64, world: SimulatedWorld) {
        self.name = name
        self.byteCount = byteCount
        self.world = world
        image = VolatileImage(byteCount: byteCount)
        isAllocated = Array(repeating: false, count: image.sectorCount / Self.pageSectorCount + 1)
    }

    // MARK: Room

    package func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus {
        let sectors = Int(byteOffset / 512)..<Int((byteOffset + byteCount) / 512)
        if world.isFull && sectors.contains(where: { !hasRoom(sector: $0) }) { return .noSpace }
        for sector in sectors { isAllocated[sector / Self.pageSectorCount] = true }
        return .done
    }

    /// Whether a sector can be written.
    func hasRoom(sector: Int) -> Bool { !world.isFull || isAllocated[sector / Self.pageSectorCount] }

    /// Writes a sector that has room.
    func put(_ sector: Int, _ bytes: UnsafeRawPointer?, completedAt: UInt64) {
        isAllocated[sector / Self.pageSectorCount] = true
        image.put(sector, bytes, completedAt: completedAt)
    }

    /// Gives back the space of whole pages.
    func giveBack(_ sectors: Range<Int>) {
        var sector = (sectors.lowerBound + Self.pageSectorCount - 1) / Self.pageSectorCount * Self.pageSectorCount
        while sector + Self.pageSectorCount <= sectors.upperBound {
            isAllocated[sector / Self.pageSectorCount] = false
            sector += Self.pageSectorCount
        }
    }

    // MARK: Life

    package func makeChannel() throws(OSError) -> any MemberChannel {
        let channel = SimulatedChannel(world) { [unowned self] in self }
        world.channels.append(channel)
        return channel
    }

    /// Lets a flush fail that would have covered writes up to a time.
    func failFlush(covering time: UInt64) {
        image.failFlush(covering: time)
        hasDropped = true
    }

    /// Notes that the model knows of the dropped data.
    func forgetDropped() { hasDropped = false }

    /// Ends the process and, with `powerFails`, the system below it.
    func crash(powerFails: Bool) {
        if powerFails { hasDropped = false }
        if powerFails { image.losePower(&world.random) } else { image.endProcess(at: world.tick(), &world.random) }
    }

    // MARK: MemberStore

    private func enter() throws(MemberStoreError) {
        guard world.passesSynchronousPoint() else { throw Self.crashed }
        if isDead { throw MemberStoreError(.failed, "the member is dead") }
    }

    private static let inputOutputError = MemberStoreError(.failed, "Input/output error")
    private static let crashed = MemberStoreError(.failed, "the simulation has crashed")

    package func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        try enter()
        precondition(byteOffset + UInt64(memory.count) <= byteCount)
        let sectors = Int(byteOffset) / 512..<(Int(byteOffset) + memory.count + 511) / 512
        if image.damaged.isUnreadable(sectors) { throw MemberStoreError(.unreadable, "Input/output error") }
        let start = image.bytes(ofSector: 0) + Int(byteOffset)
        memory.copyMemory(from: UnsafeRawBufferPointer(start: start, count: memory.count))
    }

    package func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        precondition(byteOffset + UInt64(memory.count) <= byteCount)
        let wasDown = world.isDown
        do throws(MemberStoreError) { try enter() } catch {
            if !wasDown && world.isDown && !isDead { try? put(memory, byteOffset, partial: true) }
            throw error
        }
        try put(memory, byteOffset, partial: false)
    }

    /// Writes all sectors, or a random part of them.
    private func put(
        _ memory: UnsafeRawBufferPointer, _ byteOffset: UInt64, partial: Bool
    ) throws(MemberStoreError) {
        let time = world.tick()
        let start = Int(byteOffset)
        for sector in start / 512..<(start + memory.count + 511) / 512 {
            if partial && world.random.chance(500) { continue }
            guard hasRoom(sector: sector) else { throw MemberStoreError(.noSpace, "the simulated disk is full") }
            if image.damaged.isUnwritable(sector..<sector + 1) { throw Self.inputOutputError }
            put(sector, of: memory, at: start, completedAt: time)
        }
    }

    /// Writes the part of one sector that `memory` covers. The sector has room.
    /// - Parameter start: the byte offset of `memory`, which may begin and end inside a sector.
    func put(_ sector: Int, of memory: UnsafeRawBufferPointer, at start: Int, completedAt: UInt64) {
        let covered = (sector * 512..<sector * 512 + 512).clamped(to: start..<start + memory.count)
        let source = memory.baseAddress! + (covered.lowerBound - start)
        if covered.count == 512 { return put(sector, source, completedAt: completedAt) }
        withUnsafeTemporaryAllocation(byteCount: 512, alignment: 8) { bytes in
            bytes.copyMemory(from: UnsafeRawBufferPointer(start: image.bytes(ofSector: sector), count: 512))
            (bytes.baseAddress! + (covered.lowerBound - sector * 512)).copyMemory(
                from: source, byteCount: covered.count)
            put(sector, bytes.baseAddress!, completedAt: completedAt)
        }
    }

    package func flush() throws(MemberStoreError) {
        try enter()
        image.flush(covering: world.tick())
    }

    package func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? {
        try enter()
        return image.nextData(from: Int(byteOffset)).map { UInt64($0) }
    }
}
