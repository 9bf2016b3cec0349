import Glibc
import MDFormat
import MemberIO
import Platform
import RAID

/// Random writes, zeroes and flushes of an array that may crash at any time, and what each sector may hold then.
///
/// Requests under way at a time have no sector in common. Each puts a stamp of its own into its sectors.
struct CrashWorkload {
    static let sectorByteCount = CrashImage.sectorByteCount
    let array: SimulatedArray
    /// For each sector of the array: the stamps that it may hold after a crash, oldest first.
    private(set) var versions: [[UInt32]]
    private var requests: [UInt32: (range: Range<Int>, memory: UnsafeMutableRawPointer, stamp: UInt32)] = [:]
    /// By the tag of a flush: the stamps that were acknowledged before it.
    private var flushes: [UInt32: [UInt32?]] = [:]
    private var acknowledged: [UInt32?]
    private var finishedCount = 0
    private var nextStamp: UInt32 = 1
    private static let tagCount: UInt32 = 12

    /// Fills the array.
    init(_ array: SimulatedArray, using generator: inout SeededGenerator) {
        self.array = array
        let count = Int(array.geometry.capacityByteCount) / Self.sectorByteCount
        versions = Array(repeating: [0], count: count)
        acknowledged = Array(repeating: nil, count: count)
        begin(0..<count, tag: 0, isZero: false)
        array.completeAll(using: &generator)
        notice()
        array.submit(ArrayRequest(.flush, tag: 0))
        flushes[0] = acknowledged
        array.completeAll(using: &generator)
        notice()
        array.beginCrashes()
    }

    /// Begins a request, if one is free and its sectors are.
    mutating func submit(using generator: inout SeededGenerator) {
        let busy = Set(requests.keys).union(flushes.keys)
        guard let tag = (0..<Self.tagCount).first(where: { !busy.contains($0) }) else { return }
        if Int.random(in: 0..<16, using: &generator) == 0 {
            flushes[tag] = acknowledged
            return array.post(ArrayRequest(.flush, tag: tag))
        }
        let chunk = Int(array.geometry.chunkByteCount) / Self.sectorByteCount
        let stripe = chunk * array.geometry.columnCount
        var range = 0..<0
        switch Int.random(in: 0..<4, using: &generator) {
        case 0:
            let start = Int.random(in: 0..<versions.count / stripe, using: &generator) * stripe
            range = start..<start + stripe
        case 1:
            let start = Int.random(in: 0..<versions.count, using: &generator)
            range = start..<min(start + Int.random(in: 1...2 * stripe, using: &generator), versions.count)
        default:
            let start = Int.random(in: 0..<versions.count, using: &generator)
            range = start..<min(start + Int.random(in: 1...chunk, using: &generator), versions.count)
        }
        guard !requests.values.contains(where: { $0.range.overlaps(range) }) else { return }
        begin(range, tag: tag, isZero: Int.random(in: 0..<6, using: &generator) == 0)
    }

    private mutating func begin(_ range: Range<Int>, tag: UInt32, isZero: Bool) {
        let byteCount = range.count * Self.sectorByteCount
        let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
        let stamp = isZero ? 0 : nextStamp
        nextStamp += 1
        memory.initializeMemory(as: UInt32.self, repeating: stamp, count: byteCount / 4)
        requests[tag] = (range, memory, stamp)
        for sector in range { versions[sector].append(stamp) }
        var request = ArrayRequest(
            isZero ? .zero : .write, byteOffset: UInt64(range.lowerBound * Self.sectorByteCount),
            byteCount: UInt64(byteCount), memory: isZero ? nil : memory, tag: tag)
        request.mayPunch = true
        array.post(request)
    }

    /// Does some of what is under way, in any order, and takes note of what finishes.
    mutating func step(using generator: inout SeededGenerator) {
        for _ in 0..<Int.random(in: 0..<24, using: &generator) where !array.isIdle {
            array.step(using: &generator)
            notice()
        }
    }

    /// Does all that is under way.
    /// - Returns: whether all of that ended well.
    mutating func finish(using generator: inout SeededGenerator) -> Bool {
        array.completeAll(using: &generator)
        return notice()
    }

    /// Takes note of what has finished.
    /// - Returns: whether all of it ended well.
    @discardableResult
    mutating func notice() -> Bool {
        var isRight = true
        for finished in array.finished[finishedCount...] {
            if finished.status != .done { isRight = false }
            if let request = requests.removeValue(forKey: finished.tag) {
                for sector in request.range { acknowledged[sector] = request.stamp }
                request.memory.deallocate()
            } else if let flushed = flushes.removeValue(forKey: finished.tag) {
                for (sector, stamp) in flushed.enumerated() { forget(sector, before: stamp) }
            }
        }
        finishedCount = array.finished.count
        return isRight
    }

    /// What was before an acknowledged stamp is not possible any more, once that is durable.
    private mutating func forget(_ sector: Int, before stamp: UInt32?) {
        guard let stamp, let index = versions[sector].lastIndex(of: stamp) else { return }
        // Zeros may be of several requests; the oldest of them is the safe guess.
        let first = stamp == 0 ? versions[sector].firstIndex(of: 0)! : index
        versions[sector].removeFirst(first)
    }

    func deallocate() {
        for request in requests.values { request.memory.deallocate() }
    }

    /// - Parameter isExempt: sectors of which nothing is asked.
    /// - Returns: the first sector that holds what it must not.
    func firstFault(in image: CrashImage, missing: Role?, isExempt: (Int) -> Bool = { _ in false }) -> String? {
        for (sector, stamp) in image.stamps(missing: missing).enumerated() where !isExempt(sector) {
            guard let stamp, versions[sector].contains(stamp) else {
                return "sector \(sector) holds \(stamp.map(String.init) ?? "a mixture"), not one of \(versions[sector])"
            }
        }
        return nil
    }
}
