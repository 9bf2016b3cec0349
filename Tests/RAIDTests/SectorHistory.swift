/// What each sector of an array may hold, while requests that overlap are under way.
///
/// Each modification puts one stamp into its sectors. A stamp stays possible until a modification that began after it
/// had ended has ended itself; so a read may see any stamp that was possible when it began, or was begun meanwhile.
struct SectorHistory {
    static let sectorByteCount = 512

    private struct Stamp {
        var value: UInt32
        /// Two modifications may put the same value, such as zeros.
        var identifier: UInt32
        var begin: Int
        var end = Int.max
    }

    private var sectors: [[Stamp]]
    /// By the tag of the read: what each of its sectors may show.
    private var views: [UInt32: (sectors: Range<Int>, allowed: [Set<UInt32>])] = [:]
    private var clock = 0

    init(sectorCount: Int) {
        sectors = Array(repeating: [Stamp(value: 0, identifier: 0, begin: 0, end: 0)], count: sectorCount)
    }

    mutating func beginModification(_ range: Range<Int>, value: UInt32, identifier: UInt32) {
        clock += 1
        for sector in range { sectors[sector].append(Stamp(value: value, identifier: identifier, begin: clock)) }
        for (tag, view) in views where view.sectors.overlaps(range) {
            for sector in view.sectors.clamped(to: range) {
                views[tag]!.allowed[sector - view.sectors.lowerBound].insert(value)
            }
        }
    }

    /// - Parameter isDone: whether it took place. Otherwise its stamp may be there or not, for good.
    mutating func endModification(_ range: Range<Int>, identifier: UInt32, isDone: Bool) {
        clock += 1
        for sector in range {
            let index = sectors[sector].firstIndex { $0.identifier == identifier }!
            sectors[sector][index].end = clock
            let begin = sectors[sector][index].begin
            if isDone { sectors[sector].removeAll { $0.end < begin } }
        }
    }

    mutating func beginRead(_ range: Range<Int>, tag: UInt32) {
        views[tag] = (range, range.map { Set(sectors[$0].map(\.value)) })
    }

    /// - Returns: the first sector of the read that shows what it must not, with what that is.
    mutating func endRead(tag: UInt32, memory: UnsafeRawBufferPointer) -> String? {
        let view = views.removeValue(forKey: tag)!
        for (index, allowed) in view.allowed.enumerated() {
            if let fault = Self.fault(memory, index, allowed) {
                return "sector \(view.sectors.lowerBound + index)\(fault)"
            }
        }
        return nil
    }

    /// - Returns: the first sector of the whole array that holds what it must not.
    func firstFault(in content: [UInt8]) -> String? {
        content.withUnsafeBytes { memory in
            for sector in sectors.indices {
                if let fault = Self.fault(memory, sector, Set(sectors[sector].map(\.value))) {
                    return "sector \(sector)\(fault)"
                }
            }
            return nil
        }
    }

    private static func fault(_ memory: UnsafeRawBufferPointer, _ index: Int, _ allowed: Set<UInt32>) -> String? {
        let bytes = UnsafeRawBufferPointer(rebasing: memory[index * sectorByteCount..<(index + 1) * sectorByteCount])
        let value = bytes.load(as: UInt32.self)
        if !allowed.contains(value) { return " holds \(value), not one of \(allowed.sorted())" }
        let isTorn = stride(from: 0, to: bytes.count, by: 64).contains {
            bytes.load(fromByteOffset: $0, as: UInt32.self) != value
        }
        return isTorn ? " is torn" : nil
    }
}
