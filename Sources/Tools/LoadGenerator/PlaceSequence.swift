import Platform

/// The offset and kind of each request in turn.
struct PlaceSequence {
    private let blockByteCount: UInt64
    private let region: Range<UInt64>
    private let blockCount: Int
    private let isRandom: Bool
    private let readPercent: Int
    private var nextBlock = 0
    private var random: SeededGenerator
    /// Whether a sequential load has reached the end of its region.
    private(set) var hasWrapped = false

    init(workload: Workload, region: Range<UInt64>, seed: UInt64) {
        blockByteCount = UInt64(workload.blockByteCount)
        self.region = region
        blockCount = Int((region.upperBound - region.lowerBound) / blockByteCount)
        precondition(blockCount > 0, "a block has no room in the region")
        isRandom = workload.order == .random
        readPercent = workload.readPercent
        random = SeededGenerator(seed: seed)
    }

    mutating func next() -> (byteOffset: UInt64, isRead: Bool) {
        let isRead = readPercent == 100 || (readPercent > 0 && random.below(100) < readPercent)
        var block = nextBlock
        if isRandom {
            block = random.below(blockCount)
        } else {
            nextBlock += 1
            if nextBlock == blockCount {
                nextBlock = 0
                hasWrapped = true
            }
        }
        return (region.lowerBound + UInt64(block) * blockByteCount, isRead)
    }
}
