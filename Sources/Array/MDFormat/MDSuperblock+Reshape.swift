/// md's state of a reshape in the superblock. This program does not reshape arrays. But md writes superblocks one after
/// another, and members on which a power failure left different ones have to be made alike again.
extension MDSuperblock {
    /// A reshape that is under way. Sizes are sectors.
    package struct Reshape: Sendable, Equatable {
        /// `new_level`.
        package var newLevel: Int32
        /// `new_layout`.
        package var newLayout: UInt32
        /// `new_chunk`.
        package var newChunkSectors: UInt32
        /// Members that are added; `memberCount` includes them (`delta_disks`).
        package var addedMemberCount: Int32
        /// Sectors of the array: below, a growing array has its new shape (`reshape_position`).
        package var position: UInt64
        /// Sectors by which the member's data begins later in the new shape; may be negative (`new_offset`).
        package var dataOffsetChange: Int32

        package init(
            newLevel: Int32, newLayout: UInt32, newChunkSectors: UInt32, addedMemberCount: Int32, position: UInt64,
            dataOffsetChange: Int32
        ) {
            self.newLevel = newLevel
            self.newLayout = newLayout
            self.newChunkSectors = newChunkSectors
            self.addedMemberCount = addedMemberCount
            self.position = position
            self.dataOffsetChange = dataOffsetChange
        }
    }

    /// The fields from new_level to new_offset. They share their place with the marks of `lineage`.
    private static let fields = 100..<128

    /// Nil when no reshape is under way.
    package var reshape: Reshape? {
        get {
            guard features.contains(.reshape) else { return nil }
            return Reshape(
                newLevel: Int32(bitPattern: load(100)), newLayout: load(116), newChunkSectors: load(120),
                addedMemberCount: Int32(bitPattern: load(112)), position: load(104),
                dataOffsetChange: features.contains(.newOffset) ? Int32(bitPattern: load(124)) : 0)
        }
        set {
            lineage = nil
            for offset in stride(from: Self.fields.lowerBound, to: Self.fields.upperBound, by: 4) {
                store(UInt32(0), offset)
            }
            features.subtract([.reshape, .reshapeBackwards, .newOffset])
            guard let newValue else { return }
            features.insert(.reshape)
            if newValue.dataOffsetChange != 0 { features.insert(.newOffset) }
            store(UInt32(bitPattern: newValue.newLevel), 100)
            store(newValue.position, 104)
            store(UInt32(bitPattern: newValue.addedMemberCount), 112)
            store(newValue.newLayout, 116)
            store(newValue.newChunkSectors, 120)
            store(UInt32(bitPattern: newValue.dataOffsetChange), 124)
        }
    }

    /// The superblock as after the reshape that is under way. `geometry` finds what does not fit then.
    package var withReshapeFinished: MDSuperblock {
        guard let reshape else { return self }
        var finished = self
        let change = UInt64(bitPattern: Int64(reshape.dataOffsetChange))
        finished.reshape = nil
        finished.level = reshape.newLevel
        finished.layout = reshape.newLayout
        finished.chunkSectors = reshape.newChunkSectors
        finished.dataOffsetSectors = dataOffsetSectors &+ change
        finished.dataSectors = dataSectors &- change
        return finished
    }

    /// The superblock as before the reshape that is under way.
    package var withReshapeUndone: MDSuperblock {
        guard let reshape else { return self }
        var before = self
        before.reshape = nil
        before.memberCount = memberCount &- UInt32(bitPattern: reshape.addedMemberCount)
        return before
    }

    /// Takes the roles away that the array does not have.
    /// - Parameter count: how many roles it has.
    package mutating func removeRoles(from count: UInt32) {
        for number in 0..<roleCount {
            let role = self.role(ofDevice: number)
            if role >= count && role < Self.firstSpecialRole { setRole(Self.roleSpare, ofDevice: number) }
        }
    }

    /// Whether another member's superblock has the dimensions that mdadm compares before it assembles an array.
    package func hasSameDimensions(as other: MDSuperblock) -> Bool {
        level == other.level && layout == other.layout && chunkSectors == other.chunkSectors
            && memberCount == other.memberCount && usedSectors == other.usedSectors
    }
}
