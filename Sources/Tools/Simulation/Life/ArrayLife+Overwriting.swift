import ArrayStore
import MDFormat
import RAID
import RAIDController

/// What users must not be able to do: no member forgets what it was while the array may need what it holds.
extension ArrayLife {
    /// More members have failed than the array can do without, as far as it knows.
    var isLost: Bool {
        guard shape.level == .raid5, let array else { return false }
        return array.isLost || array.failedMembers.count > 1
    }

    /// Commands that have to be refused: for members that are in use, and all of them when the array is lost.
    func askForTheForbidden() throws(SimulationFault) {
        let isLost = isLost
        let states = array!.memberStates
        let candidates = disks.indices.filter { number in
            guard !isLost else { return true }
            let state = states.first { $0.path == disks[number].name }
            return state.map { $0.condition != .failed && $0.condition != .spare } ?? false
        }
        guard !candidates.isEmpty else { return }
        let disk = disks[world.random.pick(candidates)]
        switch world.random.below(4) {
        case 0: try expectRefusal("\(disk.name) is added") { try array!.add(disk) }
        case 1: try expectRefusal("\(disk.name) is removed") { try array!.remove { $0.path == disk.name } }
        case 2:
            // As `nbdext add` does with a member that failed.
            try expectRefusal("\(disk.name) is removed") { try array!.remove { $0.path == disk.name } }
            try expectRefusal("\(disk.name) is added") { try array!.add(disk) }
        default:
            guard isLost else { return }
            let role = world.random.below(members.count)
            try expectRefusal("member \(role) is replaced") { try card!.replace(role: role, by: disk.name, target: 0) }
        }
    }

    private func expectRefusal<Result>(_ what: String, _ body: () throws -> Result) throws(SimulationFault) {
        do { _ = try body() } catch { return note("refused: \(what): \(error)") }
        throw SimulationFault("\(what), though the array needs it")
    }

    /// Once the array is lost, no superblock loses its role.
    func checkNothingIsForgotten() throws(SimulationFault) {
        guard isLost else { return }
        let roles = disks.map { roleOnDisk($0) }
        for (number, before) in rolesWhenLost.enumerated() where before != nil && roles[number] != before {
            throw SimulationFault("\(disks[number].name) has forgotten its role, and the array is lost without it")
        }
        rolesWhenLost = roles
    }

    /// The role that a disk's superblock gives it; nil when it gives none.
    private func roleOnDisk(_ disk: SimulatedMember) -> UInt16? {
        guard let superblock = superblock(on: disk), superblock.role < MDSuperblock.firstSpecialRole else { return nil }
        return superblock.role
    }
}
