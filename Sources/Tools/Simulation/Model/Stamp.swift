/// The content of a sector, from which its write can be told, and that the sector is whole.
///
/// The first word holds the write's number and the sector's. The other words are computed from it, so that sectors of
/// different writes differ in every word, and the exclusive-or of some never looks like another one. Number 0 stands
/// for zeros.
enum Stamp {
    private static let wordCount = 64

    static func fill(_ memory: UnsafeMutableRawPointer, write: UInt32, sector: Int) {
        let words = memory.assumingMemoryBound(to: UInt64.self)
        let first = UInt64(write) << 32 | UInt64(sector)
        words[0] = first
        for index in 1..<wordCount { words[index] = word(first, index) }
    }

    /// - Returns: the write that a sector's content comes from; nil for content that no write produced.
    static func write(in memory: UnsafeRawPointer, sector: Int) -> UInt32? {
        let words = memory.assumingMemoryBound(to: UInt64.self)
        let first = words[0]
        if first == 0 { return (1..<wordCount).allSatisfy { words[$0] == 0 } ? 0 : nil }
        guard first & 0xFFFF_FFFF == UInt64(sector), (1..<wordCount).allSatisfy({ words[$0] == word(first, $0) }) else {
            return nil
        }
        return UInt32(first >> 32)
    }

    @inline(__always)
    private static func word(_ first: UInt64, _ index: Int) -> UInt64 {
        let mixed = (first &+ UInt64(index)) &* 0xBF58_476D_1CE4_E5B9
        return mixed ^ mixed >> 29
    }
}
