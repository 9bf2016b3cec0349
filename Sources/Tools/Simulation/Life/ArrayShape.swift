import ArrayStore
import MDFormat
import Platform
import RAID

/// The shape of a simulated array, and the position of each sector on its members. The positions are computed in
/// another way than in the code under test: one sector at a time.
struct ArrayShape {
    var level: RAIDLevel
    var memberCount: Int
    var chunkSectorCount: Int
    var stripeCount: Int
    /// The consistency policy: how parity is kept right through a crash.
    var consistency: ArrayConsistency
    /// The first sector of a member's data area.
    var dataSector = 0

    /// Chooses a small array, in which requests collide often.
    init(_ random: inout SeededGenerator) {
        level = random.chance(800) ? .raid5 : .raid0
        memberCount = random.number((level == .raid5 ? 3 : 2)...5)
        chunkSectorCount = random.pick([8, 8, 16, 32])
        stripeCount = random.number(2...6)
        consistency = level == .raid5 ? random.pick([.resync, .bitmap, .ppl, .ppl]) : .resync
        dataSector = Int(plan.geometry.dataByteOffset / 512)
    }

    /// The plan with which the array is created.
    var plan: ArrayStore.Plan {
        ArrayStore.Plan(
            level: level, memberCount: memberCount, byteCount: UInt64(sectorCount * 512),
            chunkByteCount: chunkSectorCount * 512, name: "simulated", consistency: consistency)
    }

    var columnCount: Int { level == .raid5 ? memberCount - 1 : memberCount }
    var stripeSectorCount: Int { columnCount * chunkSectorCount }
    var sectorCount: Int { stripeCount * stripeSectorCount }
    var roles: Roles { Roles(count: memberCount) }
    /// Rows of one sector on each member.
    var rowCount: Int { stripeCount * chunkSectorCount }

    /// The member and the row that hold a sector. RAID 5 is left-symmetric (md's ALGORITHM_LEFT_SYMMETRIC): from stripe
    /// to stripe, parity moves from the last member to the first; the data begins on the member after it, and wraps
    /// around.
    func place(of sector: Int) -> (member: Role, row: Int) {
        let chunk = sector / chunkSectorCount
        let stripe = chunk / columnCount
        let row = stripe * chunkSectorCount + sector % chunkSectorCount
        guard level == .raid5 else { return (Role(index: chunk % columnCount), row) }
        let parity = memberCount - 1 - stripe % memberCount
        return (Role(index: (parity + 1 + chunk % columnCount) % memberCount), row)
    }

    /// The level and the consistency policy, under which lives are counted.
    var protection: String { level == .raid0 ? "RAID 0" : "RAID 5, \(consistency)" }

    var description: String {
        "RAID \(level.rawValue), \(memberCount) members, \(stripeCount) stripes, chunk \(chunkSectorCount * 512) bytes, "
            + "\(consistency)"
    }
}
