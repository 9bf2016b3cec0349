import ArrayStore
import MDFormat
import Platform
import RAID

/// What a simulated array is like, and where its bytes lie: computed here once more and in another way than the code that
/// is tested, one sector at a time.
struct ArrayShape {
    var level: RAIDLevel
    var memberCount: Int
    var chunkSectorCount: Int
    var stripeCount: Int
    /// What keeps parity right through a crash.
    var consistency: ArrayConsistency
    /// Where a member's data begins.
    var dataSector = 0

    /// A small array, in which collisions are frequent.
    init(_ random: inout SeededGenerator) {
        level = random.chance(800) ? .raid5 : .raid0
        memberCount = random.number((level == .raid5 ? 3 : 2)...5)
        chunkSectorCount = random.pick([8, 8, 16, 32])
        stripeCount = random.number(2...6)
        consistency = level == .raid5 ? random.pick([.resync, .bitmap, .ppl, .ppl]) : .resync
        dataSector = Int(plan.geometry.dataByteOffset / 512)
    }

    /// What the array is made by.
    var plan: ArrayStore.Plan {
        ArrayStore.Plan(
            level: level, memberCount: memberCount, byteCount: UInt64(sectorCount * 512),
            chunkByteCount: chunkSectorCount * 512, name: "simulated", consistency: consistency)
    }

    var columnCount: Int { level == .raid5 ? memberCount - 1 : memberCount }
    var stripeSectorCount: Int { columnCount * chunkSectorCount }
    var sectorCount: Int { stripeCount * stripeSectorCount }
    /// Rows of one sector on each member.
    var rowCount: Int { stripeCount * chunkSectorCount }

    /// The member and the row that hold a sector. RAID 5 is left-symmetric: parity goes from the last member to the first,
    /// stripe by stripe, and the data follows behind it, round and round.
    func place(of sector: Int) -> (member: Int, row: Int) {
        let chunk = sector / chunkSectorCount
        let stripe = chunk / columnCount
        let row = stripe * chunkSectorCount + sector % chunkSectorCount
        guard level == .raid5 else { return (chunk % columnCount, row) }
        let parity = memberCount - 1 - stripe % memberCount
        return ((parity + 1 + chunk % columnCount) % memberCount, row)
    }

    /// What keeps parity right, for counting.
    var protection: String { level == .raid0 ? "RAID 0" : "RAID 5, \(consistency)" }

    var description: String {
        "RAID \(level.rawValue), \(memberCount) members, \(stripeCount) stripes, chunk \(chunkSectorCount * 512) bytes, "
            + "\(consistency)"
    }
}
