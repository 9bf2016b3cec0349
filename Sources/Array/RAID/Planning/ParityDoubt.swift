/// Whether parity may be wrong somewhere, since writes found no space and could not be mended.
struct ParityDoubt: BitwiseCopyable {
    /// How often parity came into doubt.
    private(set) var count: UInt64 = 0
    /// `count` at the start of the last repair that has ended.
    private var repairedCount: UInt64 = 0

    var isOpen: Bool { count != repairedCount }

    mutating func note() { count += 1 }

    /// Notes that a repair of the whole array is done. What came into doubt after its start stays.
    /// - Parameter start: `count` when the repair began.
    mutating func repaired(since start: UInt64) {
        precondition(start <= count, "the repair began in a doubt that never was")
        repairedCount = max(repairedCount, start)
    }
}
