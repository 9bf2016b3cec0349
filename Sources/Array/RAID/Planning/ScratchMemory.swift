import MDFormat

/// The memory of the scratch pool: where a member's block lies. It computes addresses and never follows them.
struct ScratchMemory: BitwiseCopyable {
    let base: UnsafeMutableRawPointer
    let memberCount: Int

    /// A member's block, by the index from `ScratchPool.claim`.
    func block(_ index: ScratchIndex, member: Role) -> UnsafeMutableRawPointer {
        assert(!index.isNone && member.index < memberCount, "the operation has no block for the member")
        let position = Int(index.rawValue)
        if position < ScratchPool.smallCount {
            return base + (position * memberCount + member.index) * ScratchPool.smallBlockByteCount
        }
        let large = base + ScratchPool.smallCount * memberCount * ScratchPool.smallBlockByteCount
        let number = position - ScratchPool.smallCount
        return large + (number * memberCount + member.index) * ScratchPool.largeBlockByteCount
    }
}
