import CISAL
import Glibc

/// Exclusive-or over memory, with ISA-L.
///
/// ISA-L needs vectors aligned to 32 bytes (raid.h). Payloads lie in the arena where the socket put them, often
/// unaligned; those are copied through a small aligned block that stays in the processor's cache.
///
/// Threads: one; each lane has its own.
final class Parity {
    /// Bytes that are staged at a time.
    private static let blockByteCount = 4096
    private static let alignment = 32
    private static let vectorCountMax = 33
    private let staging: UnsafeMutableRawPointer
    private let vectors: UnsafeMutablePointer<UnsafeMutableRawPointer?>

    init() {
        staging = .allocate(byteCount: Self.vectorCountMax * Self.blockByteCount, alignment: 4096)
        vectors = .allocate(capacity: Self.vectorCountMax)
    }

    deinit {
        staging.deallocate()
        vectors.deallocate()
    }

    /// Sets `destination` to the exclusive-or of the sources; a single source is copied.
    func generate(
        _ destination: UnsafeMutableRawPointer, from sources: UnsafeBufferPointer<UnsafeRawPointer>, byteCount: Int
    ) {
        precondition(!sources.isEmpty && sources.count < Self.vectorCountMax)
        assert(byteCount > 0, "parity of nothing is computed")
        if sources.count == 1 {
            memcpy(destination, sources[0], byteCount)
        } else if Self.isAligned(destination) && sources.allSatisfy(Self.isAligned) {
            for index in sources.indices { vectors[index] = UnsafeMutableRawPointer(mutating: sources[index]) }
            vectors[sources.count] = destination
            generateAligned(vectorCount: sources.count + 1, byteCount: byteCount)
        } else {
            generateStaged(destination, from: sources, byteCount: byteCount)
        }
    }

    /// Checks that the exclusive-or of the sources is zero.
    /// - Parameter byteCount: at most 32 blocks of 4 KiB. The sources are aligned.
    /// - Returns: bit i is set when the i-th block of 4 KiB is not zero.
    func wrongBlocks(_ sources: UnsafeBufferPointer<UnsafeRawPointer>, byteCount: Int) -> UInt32 {
        assert(byteCount <= 32 * Self.blockByteCount, "the answer has no bit for the last blocks")
        if isZero(sources, at: 0, byteCount) { return 0 }
        var wrong: UInt32 = 0
        for block in 0..<byteCount / Self.blockByteCount
        where !isZero(sources, at: block * Self.blockByteCount, Self.blockByteCount) {
            wrong |= 1 << UInt32(block)
        }
        return wrong
    }

    private func isZero(_ sources: UnsafeBufferPointer<UnsafeRawPointer>, at offset: Int, _ byteCount: Int) -> Bool {
        if sources.count == 1 {
            let words = (sources[0] + offset).assumingMemoryBound(to: UInt64.self)
            // A block is all zeros if its first word is zero and every word equals the next one.
            return words[0] == 0 && memcmp(words, words + 1, byteCount - 8) == 0
        }
        assert(sources.count < Self.vectorCountMax, "more sources than vectors")
        for index in sources.indices { vectors[index] = UnsafeMutableRawPointer(mutating: sources[index] + offset) }
        return xor_check(Int32(sources.count), Int32(byteCount), vectors) == 0
    }

    private func generateStaged(
        _ destination: UnsafeMutableRawPointer, from sources: UnsafeBufferPointer<UnsafeRawPointer>, byteCount: Int
    ) {
        var offset = 0
        while offset < byteCount {
            let length = min(Self.blockByteCount, byteCount - offset)
            for index in sources.indices {
                let source = sources[index] + offset
                if Self.isAligned(source) {
                    vectors[index] = UnsafeMutableRawPointer(mutating: source)
                } else {
                    vectors[index] = block(index)
                    memcpy(block(index), source, length)
                }
            }
            let isDirect = Self.isAligned(destination + offset)
            vectors[sources.count] = isDirect ? destination + offset : block(sources.count)
            generateAligned(vectorCount: sources.count + 1, byteCount: length)
            if !isDirect { memcpy(destination + offset, block(sources.count), length) }
            offset += length
        }
    }

    private func generateAligned(vectorCount: Int, byteCount: Int) {
        assert(
            (0..<vectorCount).allSatisfy { vectors[$0].map { Self.isAligned($0) } ?? false }, "a vector is not aligned")
        let status = xor_gen(Int32(vectorCount), Int32(byteCount), vectors)
        precondition(status == 0, "xor_gen refused \(vectorCount) vectors of \(byteCount) bytes")
    }

    private func block(_ index: Int) -> UnsafeMutableRawPointer { staging + index * Self.blockByteCount }

    private static func isAligned(_ pointer: UnsafeRawPointer) -> Bool {
        UInt(bitPattern: pointer) & UInt(alignment - 1) == 0
    }

    private static func isAligned(_ pointer: UnsafeMutableRawPointer) -> Bool {
        isAligned(UnsafeRawPointer(pointer))
    }
}
