import ArrayStore
import MDFormat
import RAID

/// Commands that users must not get through: no member may forget its role while the array may need its data.
extension ArrayLife {
    /// Whether, as far as the array knows, more members have failed than it can do without.
    var isLost: Bool {
        guard shape.level == .raid5, let array else { return false }
        return array.isLost || array.failedMembers.count > 1
    }

    /// Gives a command that must be refused: one for a member in use, or for any disk when the array is lost.
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
            // `nbdext add` removes a failed member first, too.
            try expectRefusal("\(disk.name) is removed") { try array!.remove { $0.path == disk.name } }
            try expectRefusal("\(disk.name) is added") { try array!.add(disk) }
        default:
            guard isLost else { return }
            let role = Role(index: world.random.below(members.count))
            try expectRefusal("member \(role) is replaced") { try live!.replace(role: role, by: disk.name) }
        }
    }

    private func expectRefusal<Result>(_ what: String, _ body: () throws -> Result) throws(SimulationFault) {
        do { _ = try body() } catch { return note("refused: \(what): \(error)") }
        throw SimulationFault("\(what), though the array needs it")
    }

    /// Checks that no superblock has lost its role since the array was lost.
    func checkNothingIsForgotten() throws(SimulationFault) {
        guard isLost else { return }
        let roles = disks.map { roleOnDisk($0) }
        for (number, before) in rolesWhenLost.enumerated() where before != nil && roles[number] != before {
            throw SimulationFault("\(disks[number].name) has forgotten its role, and the array is lost without it")
        }
        rolesWhenLost = roles
    }

    /// The role in a disk's superblock; nil when there is none.
    private func roleOnDisk(_ disk: SimulatedMember) -> UInt16? {
        guard let superblock = superblock(on: disk), superblock.role < MDSuperblock.firstSpecialRole else { return nil }
        return superblock.role
    }
}
