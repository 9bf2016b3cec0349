/// What md keeps in a superblock while it changes an array's shape. It is not done here; but md writes superblocks one
/// after another, and where the power failed in between, somebody has to make them alike again.
extension MDSuperblock {
    /// The change that is under way.
    package struct Reshape: Sendable, Equatable {
        package var newLevel: Int32
        package var newLayout: UInt32
        package var newChunkSectors: UInt32
        /// Members that come in addition, which `memberCount` has already.
        package var addedMemberCount: Int32
        /// Sectors of the array: what is below is in the new shape, when the array grows.
        package var position: UInt64
        /// Sectors by which the member's data begins elsewhere in the new shape.
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

    /// The fields share their place with the marks of `lineage`.
    private static let fields = 100..<128

    /// Nil when no change is under way.
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

    /// The superblock as it is when the change under way is done. What does not fit then is found by `geometry`.
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

    /// The superblock as it was before the change under way began.
    package var withReshapeUndone: MDSuperblock {
        guard let reshape else { return self }
        var before = self
        before.reshape = nil
        before.memberCount = memberCount &- UInt32(bitPattern: reshape.addedMemberCount)
        return before
    }

    /// Lets those members have no role whose role the array does not have.
    package mutating func removeRoles(from count: UInt32) {
        for number in 0..<roleCount {
            let role = self.role(ofDevice: number)
            if role >= count && role < Self.firstSpecialRole { setRole(Self.roleSpare, ofDevice: number) }
        }
    }

    /// Whether another member's superblock has the shape that mdadm compares before it assembles anything.
    package func hasSameDimensions(as other: MDSuperblock) -> Bool {
        level == other.level && layout == other.layout && chunkSectors == other.chunkSectors
            && memberCount == other.memberCount && usedSectors == other.usedSectors
    }
}
