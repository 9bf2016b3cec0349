/// Where each request goes, and what it does.
struct PlaceSequence {
    private let blockByteCount: UInt64
    private let region: Range<UInt64>
    private let blockCount: UInt64
    private let isRandom: Bool
    private let readPercent: UInt64
    private var nextBlock: UInt64 = 0
    private var state: UInt64
    /// A sequential load has come to the end of its region.
    private(set) var hasWrapped = false

    init(workload: Workload, region: Range<UInt64>, seed: UInt64) {
        blockByteCount = UInt64(workload.blockByteCount)
        self.region = region
        blockCount = (region.upperBound - region.lowerBound) / blockByteCount
        precondition(blockCount > 0, "a block has no room in the region")
        isRandom = workload.order == .random
        readPercent = UInt64(workload.readPercent)
        state = seed
    }

    mutating func next() -> (byteOffset: UInt64, isRead: Bool) {
        let isRead = readPercent == 100 || (readPercent > 0 && random(below: 100) < readPercent)
        var block = nextBlock
        if isRandom {
            block = random(below: blockCount)
        } else {
            nextBlock += 1
            if nextBlock == blockCount {
                nextBlock = 0
                hasWrapped = true
            }
        }
        return (region.lowerBound + block * blockByteCount, isRead)
    }

    /// SplitMix64, scaled by a multiplication.
    private mutating func random(below limit: UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return (value ^ (value >> 31)).multipliedFullWidth(by: limit).high
    }
}
