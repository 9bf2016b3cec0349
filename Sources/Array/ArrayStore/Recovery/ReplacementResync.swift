import MDFormat
import MemberIO
import Platform
import RAID

/// Makes a replacement equal to the member whose role it takes, where a crash may have come between the writes to the
/// two.
///
/// Both have everything that was acknowledged and made durable. For the rest, the member in service counts.
struct ReplacementResync {
    private static let stepByteCount: UInt64 = 256 << 10

    private let geometry: ArrayGeometry
    private let source: any MemberStore
    private let replacement: ArrayMember
    /// The bytes at the start of its data area that it is known to have.
    private let boundary: UInt64
    private let startUp: StartUp

    init(
        _ geometry: ArrayGeometry, source: any MemberStore, replacement: ArrayMember, startUp: StartUp = StartUp()
    ) {
        self.startUp = startUp
        self.geometry = geometry
        self.source = source
        self.replacement = replacement
        boundary = replacement.filledByteCount(geometry)
    }

    /// Corrects the replacement below its boundary. Its content is durable when this returns.
    /// - Parameter ranges: the ranges to check, in bytes of the members' data.
    /// - Returns: the number of bytes that differed and were rewritten.
    func run(_ ranges: [Range<UInt64>]) throws(ArrayStoreError) -> UInt64 {
        var repaired: UInt64 = 0
        for range in ranges {
            let end = min(range.upperBound, boundary)
            var position = range.lowerBound
            while let start = try nextData(from: position), start < end {
                let count = min(Self.stepByteCount, end - start)
                if try run(at: start, count: Int(count)) { repaired += count }
                try startUp.advanceOrThrow(by: 0)
                position = start + count
            }
        }
        try replacement.flush()
        return repaired
    }

    /// - Returns: whether there was a difference.
    private func run(at offset: UInt64, count: Int) throws(ArrayStoreError) -> Bool {
        let byteOffset = geometry.dataByteOffset + offset
        let right = try perform("read", source) { store throws(MemberStoreError) in
            try store.bytes(at: byteOffset, count: count)
        }
        return try perform("bring up to date", replacement.store) { store throws(MemberStoreError) in
            guard try store.bytes(at: byteOffset, count: count) != right else { return false }
            try store.write(bytes: right, at: byteOffset)
            return true
        }
    }

    /// The first byte of the data area, at or behind `offset`, where either member has data; nil for none. Where both
    /// have holes they are equal.
    private func nextData(from offset: UInt64) throws(ArrayStoreError) -> UInt64? {
        let byteOffset = geometry.dataByteOffset + offset
        var next: UInt64?
        for store in [source, replacement.store] {
            let found = try perform("look for the holes of", store) { store throws(MemberStoreError) in
                try store.nextData(from: byteOffset)
            }
            if let found { next = min(next ?? found, found) }
        }
        return next.map { $0 - geometry.dataByteOffset }
    }

    private func perform<Result>(
        _ doing: String, _ store: any MemberStore, _ body: (any MemberStore) throws(MemberStoreError) -> Result
    ) throws(ArrayStoreError) -> Result {
        do throws(MemberStoreError) { return try body(store) } catch {
            throw ArrayStoreError(
                "cannot \(doing) \(store.name): \(error); move it away to serve the array without it", cause: error)
        }
    }
}
