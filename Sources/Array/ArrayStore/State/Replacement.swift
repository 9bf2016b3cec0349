import MDFormat
import MemberIO
import Platform
import RAID

/// A member that is to take the role of one that still serves. Its superblock has the role too, and says that it is a
/// replacement, and how far it goes: md's MD_FEATURE_REPLACEMENT and `recovery_offset`.
struct Replacement: Sendable {
    let role: Int
    let member: ArrayMember
    /// What was written last or found.
    var superblock: MDSuperblock
    /// Bytes of its data area, from the start, that it has for sure.
    var byteCount: UInt64

    /// As it was found.
    init(_ member: ArrayMember, role: Int, _ geometry: ArrayGeometry) {
        self.role = role
        self.member = member
        superblock = member.superblock
        // One without an offset has everything.
        let found = member.superblock.recoveryByteOffset ?? geometry.memberDataByteCount
        byteCount = min(found, geometry.memberDataByteCount)
    }

    /// Takes a spare for it, which has nothing yet.
    init(spare: ArrayMember, role: Int) {
        self.role = role
        member = spare
        superblock = spare.superblock
        byteCount = 0
    }

    /// Tells the member what the array's state is, and how far it goes itself.
    mutating func write(stateOf newest: MDSuperblock) throws(ArrayStoreError) {
        superblock.takeState(of: newest)
        superblock.features.insert(.replacement)
        superblock.recoveryByteOffset = byteCount
        try member.write(superblock)
    }
}

/// Makes a replacement like the member whose role it is to take, where a crash may have come between writes to the two.
///
/// Either has what was acknowledged and made durable; of what was not, the one that serves is believed.
struct ReplacementResync {
    private static let stepByteCount: UInt64 = 256 << 10

    private let geometry: ArrayGeometry
    private let source: any MemberStore
    private let replacement: Replacement
    private let startUp: StartUp

    init(
        _ geometry: ArrayGeometry, source: any MemberStore, replacement: Replacement, startUp: StartUp = StartUp()
    ) {
        self.startUp = startUp
        self.geometry = geometry
        self.source = source
        self.replacement = replacement
    }

    /// When it returns, the replacement has what it should have below its boundary, durably.
    /// - Parameter ranges: where to look, in bytes of the members' data.
    /// - Returns: bytes that were different and have been rewritten.
    func run(_ ranges: [Range<UInt64>]) throws(ArrayStoreError) -> UInt64 {
        var repaired: UInt64 = 0
        for range in ranges {
            let end = min(range.upperBound, replacement.byteCount)
            var position = range.lowerBound
            while let start = try nextData(from: position), start < end {
                let count = min(Self.stepByteCount, end - start)
                if try run(at: start, count: Int(count)) { repaired += count }
                try startUp.advanceOrThrow(by: 0)
                position = start + count
            }
        }
        try replacement.member.flush()
        return repaired
    }

    /// - Returns: whether there was a difference.
    private func run(at offset: UInt64, count: Int) throws(ArrayStoreError) -> Bool {
        let byteOffset = geometry.dataByteOffset + offset
        let right = try perform("read", source) { store throws(MemberStoreError) in
            try store.bytes(at: byteOffset, count: count)
        }
        return try perform("bring up to date", replacement.member.store) { store throws(MemberStoreError) in
            guard try store.bytes(at: byteOffset, count: count) != right else { return false }
            try store.write(bytes: right, at: byteOffset)
            return true
        }
    }

    /// The first byte of the data area, from one on, where either has data. Where both have holes they are alike.
    private func nextData(from offset: UInt64) throws(ArrayStoreError) -> UInt64? {
        let byteOffset = geometry.dataByteOffset + offset
        var next: UInt64?
        for store in [source, replacement.member.store] {
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
                "cannot \(doing) \(store.name): \(error); move it away to serve the array without it", .memberIO)
        }
    }
}
