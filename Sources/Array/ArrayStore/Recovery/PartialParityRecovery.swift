import MDFormat
import MemberIO
import Platform
import RAID

/// Replays the partial parity logs of a RAID 5 array that was not stopped cleanly, as md does, and empties them.
///
/// A log lists parts of stripes whose data and parity were about to be written. Their new parity is the exclusive-or of
/// two things: the data that was to be written, as it is found now, and the partial parity, which covers all other
/// data. So it is right whichever of the writes took place, and the data of a missing member that was not being written
/// comes out right too.
struct PartialParityRecovery {
    /// The result of a replay.
    struct Outcome {
        /// The number of entries that were replayed.
        var entryCount = 0
        /// The number of logs without a valid header, and of entries whose partial parity is torn. Either a log was
        /// being written, or it is damaged.
        var mismatchCount = 0
        /// The ranges that the entries cover, in bytes of the members' data.
        var ranges: [Range<UInt64>] = []
    }

    private let scan: MemberScan
    private let geometry: ArrayGeometry
    private let signature: UInt32
    private var outcome = Outcome()
    /// The places of data that was being written and cannot be read.
    private var unreadable: [(role: Role, byteOffset: UInt64)] = []
    /// The unit of rewriting: a smaller part may not be writable while the rest of its block is unreadable.
    private static let blockByteCount = 4096

    /// The newest header of a log.
    private struct Unit {
        var log: MDPartialParityLog
        /// The offset of the first entry's partial parity, on the member.
        var byteOffset: UInt64
    }

    private let startUp: StartUp

    init(_ scan: MemberScan, startUp: StartUp = StartUp()) {
        self.scan = scan
        self.startUp = startUp
        geometry = scan.geometry
        signature = MDPartialParityLog.signature(setUUID: scan.newest.setUUID)
    }

    /// The members that have logs, by role.
    private var owners: [(role: Role, member: ArrayMember)] {
        geometry.roles.compactMap { role in (scan.members[role] ?? scan.recovering[role]).map { (role, $0) } }
    }

    /// Makes the parity of all logged ranges right, durably.
    mutating func replay() throws(ArrayStoreError) -> Outcome {
        for (role, member) in owners {
            guard let unit = try newestUnit(of: member) else {
                outcome.mismatchCount += 1
                continue
            }
            var byteOffset = unit.byteOffset
            for entry in unit.log.entries {
                let bytes = try read(member, at: byteOffset, count: Int(entry.partialParityByteCount))
                try replay(entry, partialParity: bytes, role: role)
                try startUp.advanceOrThrow(by: 0)
                byteOffset += UInt64(entry.partialParityByteCount)
            }
        }
        // Now that all other parity is right.
        for place in unreadable { try compute(place.role, at: place.byteOffset) }
        for (_, member) in owners {
            try perform("flush", member) { store throws(MemberStoreError) in try store.flush() }
        }
        return outcome
    }

    /// Writes an empty header to every log. A replacement's log gets an invalid header, since it has not followed the
    /// role's writes.
    func empty() throws(ArrayStoreError) {
        for (_, member) in owners { try member.emptyLog(signature: signature) }
        try scan.replacement?.member.invalidateLog()
    }

    /// Finds the newest log unit: units follow one another in the log as long as their generations do not fall.
    private func newestUnit(of member: ArrayMember) throws(ArrayStoreError) -> Unit? {
        guard let range = member.superblock.partialParityLogRange else { return nil }
        let headerByteCount = UInt64(MDPartialParityLog.headerByteCount)
        var newest: Unit?
        var byteOffset = range.lowerBound
        while byteOffset + headerByteCount < range.upperBound {
            let bytes = try read(member, at: byteOffset, count: Int(headerByteCount))
            let log = try? bytes.withUnsafeBytes { try MDPartialParityLog(parsing: $0, signature: signature) }
            guard let log, log.generation >= newest?.log.generation ?? 0 else { break }
            byteOffset += headerByteCount
            newest = Unit(log: log, byteOffset: byteOffset)
            let byteCount = log.entries.reduce(UInt64(0)) { $0 + UInt64($1.partialParityByteCount) }
            // md never writes an entry that goes beyond its log.
            guard byteOffset + byteCount <= range.upperBound else { return nil }
            byteOffset += byteCount
        }
        return newest
    }

    private mutating func replay(
        _ entry: MDPartialParityLog.Entry, partialParity: [UInt8], role: Role
    ) throws(ArrayStoreError) {
        guard CRC32C.checksum(of: partialParity) == entry.checksum, let part = LoggedPart(entry, geometry, role: role)
        else {
            outcome.mismatchCount += 1
            return
        }
        for offset in stride(from: UInt64(0), to: part.parityByteCount, by: Int(part.stepByteCount)) {
            try replay(part, at: offset, partialParity)
            let start = part.stripe * geometry.chunkByteCount + part.parityChunkOffset(at: offset)
            outcome.ranges.append(start..<start + part.stepByteCount)
        }
        outcome.entryCount += 1
    }

    /// Corrects the parity of one step of a logged range, if all data that was to be written there can be read.
    private mutating func replay(
        _ part: LoggedPart, at offset: UInt64, _ partialParity: [UInt8]
    ) throws(ArrayStoreError) {
        let count = Int(part.stepByteCount)
        var parity = [UInt8](repeating: 0, count: count)
        var isTouched = false
        for place in part.data(at: offset) {
            let byteOffset = geometry.memberByteOffset(stripe: part.stripe, chunkOffset: place.chunkOffset)
            let role = geometry.member(stripe: part.stripe, column: place.column)
            guard let member = source(role, byteOffset) else { return }
            guard let block = try readable(member, at: byteOffset, count: count) else {
                unreadable.append((role, byteOffset / UInt64(Self.blockByteCount) * UInt64(Self.blockByteCount)))
                return
            }
            for index in 0..<count { parity[index] ^= block[index] }
            isTouched = true
        }
        guard isTouched else { return }
        if !partialParity.isEmpty {
            for index in 0..<count { parity[index] ^= partialParity[Int(offset) + index] }
        }
        let byteOffset = geometry.memberByteOffset(stripe: part.stripe, chunkOffset: part.parityChunkOffset(at: offset))
        let role = geometry.parityMember(stripe: part.stripe)
        guard let member = scan.members[role] ?? scan.recovering[role] else { return }
        try perform("write", member) { store throws(MemberStoreError) in try store.write(bytes: parity, at: byteOffset)
        }
    }

    /// Rewrites a block that a member cannot read with the content that the other members imply. Bytes that were being
    /// written may become anything. All other bytes become what they were.
    private func compute(_ role: Role, at byteOffset: UInt64) throws(ArrayStoreError) {
        guard let member = source(role, byteOffset) else { return }
        var block = [UInt8](repeating: 0, count: Self.blockByteCount)
        for other in geometry.roles where other != role {
            guard let source = source(other, byteOffset) else {
                throw ArrayStoreError(
                    "\(member.store.name) cannot read the 4096 bytes at byte \(byteOffset), which were being written, and "
                        + "without member \(other) there is no other copy; make it readable, or bring that member back",
                    .memberIO)
            }
            let bytes = try read(source, at: byteOffset, count: block.count)
            for index in block.indices { block[index] ^= bytes[index] }
        }
        try perform("write", member) { store throws(MemberStoreError) in try store.write(bytes: block, at: byteOffset) }
    }

    /// The member from which a role's data can be read at an offset; nil for one that has not been rebuilt that far.
    private func source(_ role: Role, _ byteOffset: UInt64) -> ArrayMember? {
        if let member = scan.members[role] { return member }
        guard let member = scan.recovering[role], let end = member.superblock.recoveryByteOffset,
            byteOffset - geometry.dataByteOffset < end
        else { return nil }
        return member
    }

    private func read(_ member: ArrayMember, at byteOffset: UInt64, count: Int) throws(ArrayStoreError) -> [UInt8] {
        do throws(MemberStoreError) { return try member.store.bytes(at: byteOffset, count: count) } catch {
            throw Self.failure("read", member, error)
        }
    }

    /// - Returns: nil when the range cannot be read.
    private func readable(
        _ member: ArrayMember, at byteOffset: UInt64, count: Int
    ) throws(ArrayStoreError) -> [UInt8]? {
        do throws(MemberStoreError) { return try member.store.bytes(at: byteOffset, count: count) } catch {
            guard error.status == .unreadable else { throw Self.failure("read", member, error) }
            return nil
        }
    }

    private func perform(
        _ doing: String, _ member: ArrayMember, _ body: (any MemberStore) throws(MemberStoreError) -> Void
    ) throws(ArrayStoreError) {
        do throws(MemberStoreError) { try body(member.store) } catch { throw Self.failure(doing, member, error) }
    }

    private static func failure(
        _ doing: String, _ member: ArrayMember, _ error: MemberStoreError
    ) -> ArrayStoreError {
        ArrayStoreError(
            "cannot \(doing) \(member.store.name): \(error); move it away to serve the array without it", cause: error)
    }
}

/// The part of a stripe that an entry of a partial parity log covers, and the columns that were to be written.
struct LoggedPart {
    private let geometry: ArrayGeometry
    let stripe: UInt64
    /// The first byte of the array that was to be written, and the byte behind the last.
    private let first: UInt64
    private let last: UInt64
    private let columnCount: UInt64
    /// The number of bytes of parity, and of each column at most.
    let parityByteCount: UInt64
    /// The unit of the replay: all bytes of a step have their data in the same columns.
    let stepByteCount: UInt64

    /// - Returns: nil for an entry that is impossible for this array.
    init?(_ entry: MDPartialParityLog.Entry, _ geometry: ArrayGeometry, role: Role) {
        self.geometry = geometry
        let (start, overflows) = entry.dataSector.multipliedReportingOverflow(by: 512)
        let dataByteCount = UInt64(entry.dataByteCount)
        let loggedByteCount = UInt64(entry.partialParityByteCount)
        let chunk = geometry.chunkByteCount
        guard !overflows, start < geometry.capacityByteCount, dataByteCount > 0 else { return nil }
        first = start
        if loggedByteCount < chunk {
            columnCount = loggedByteCount > 0 ? dataByteCount / loggedByteCount : UInt64(geometry.columnCount)
            parityByteCount = loggedByteCount > 0 ? loggedByteCount : dataByteCount / columnCount
            guard columnCount > 0 else { return nil }
            last = start + (columnCount - 1) * chunk + parityByteCount
        } else {
            columnCount = UInt64(geometry.columnCount)
            parityByteCount = chunk
            last = start + dataByteCount
        }
        stepByteCount = start % 4096 == 0 && last % 4096 == 0 ? 4096 : 512
        stripe = geometry.position(of: start).stripe
        guard parityByteCount > 0, parityByteCount <= chunk, parityByteCount % stepByteCount == 0,
            columnCount <= UInt64(geometry.columnCount), last <= geometry.capacityByteCount,
            geometry.position(of: last - 1).stripe == stripe, entry.parityRole == UInt32(role.index),
            geometry.parityMember(stripe: stripe) == role
        else { return nil }
    }

    /// The chunk offset of the parity at an offset in the partial parity.
    func parityChunkOffset(at offset: UInt64) -> UInt64 { geometry.position(of: first + offset).chunkOffset }

    /// The columns and chunk offsets of the data that was to be written, at an offset in the partial parity.
    func data(at offset: UInt64) -> [(column: Int, chunkOffset: UInt64)] {
        (0..<columnCount).compactMap { index in
            let byteOffset = first + offset + index * geometry.chunkByteCount
            guard byteOffset < last else { return nil }
            let position = geometry.position(of: byteOffset)
            return (position.column, position.chunkOffset)
        }
    }
}
