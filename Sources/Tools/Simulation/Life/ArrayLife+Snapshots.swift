import ArrayStore
import MDFormat
import RAID

/// Disks that are rolled back to older copies of themselves, as virtual disks are.
extension ArrayLife {
    /// Keeps a copy of a disk as it is now.
    func keepCopy() {
        let number = world.random.below(disks.count)
        guard shape.level == .raid5, !disks[number].isDead else { return }
        snapshots[number] = disks[number].image.content
        note("a copy of \(disks[number].name) is kept")
    }

    /// Rolls a disk that is not in use back to the copy that was kept of it. While no array is open, only a copy whose
    /// superblock differs in state from all disks' is used: nothing could detect another one.
    func rollBack(_ number: Int) {
        guard let copy = snapshots[number], let old = superblock(in: copy), disks[number].image.damaged.isEmpty,
            old.role < MDSuperblock.firstSpecialRole
        else { return }
        if array == nil {
            let may = knowledge.disks[number].may
            guard may == .out || may == .inSync && knowledge.outCountMax == 0, !isStateOfSome(old) else { return }
            knowledge.disks[number].may = .out
        }
        snapshots[number] = nil
        disks[number].image.restore(copy)
        note("\(disks[number].name) turns into an older copy of itself")
        tally[.rollBacks] += 1
    }

    /// Whether a superblock belongs to a state that some disk has, or had just before.
    private func isStateOfSome(_ superblock: MDSuperblock) -> Bool {
        disks.contains { disk in
            guard let own = self.superblock(on: disk) else { return false }
            return own.isSameState(as: superblock) || superblock.isSameState(as: own)
        }
    }

    private func superblock(in content: [UInt8]) -> MDSuperblock? {
        let start = Int(MDSuperblock.byteOffset)
        return try? MDSuperblock(parsing: Array(content[start..<start + MDSuperblock.byteCount]))
    }

    func superblock(on disk: SimulatedMember) -> MDSuperblock? {
        let start = disk.image.bytes(ofSector: Int(MDSuperblock.byteOffset / 512))
        return try? MDSuperblock(parsing: Array(UnsafeRawBufferPointer(start: start, count: MDSuperblock.byteCount)))
    }
}
