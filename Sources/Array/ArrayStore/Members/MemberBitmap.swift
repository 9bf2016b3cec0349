import MDFormat
import MemberIO
import RAID

/// The write-intent bitmap of an array, as its members hold it.
enum MemberBitmap {
    /// The combined content of the members' bitmaps.
    enum Reading {
        /// A bitmap to rely on: a region whose bit is clear has had no write since its parity was right.
        case valid(MDBitmap)
        /// A bitmap that cannot be relied on, and why. Any region may have been written to.
        case stale(String)
    }

    /// Reads the bitmaps of all members that are up to date. Those that can be relied on differ only in regions that
    /// were being written. A bit that is set in one of them counts as set.
    /// - Throws: for a kind of bitmap that is not supported.
    static func read(_ scan: MemberScan) throws(ArrayStoreError) -> Reading {
        var union: MDBitmap?
        var reason = "no member has one"
        for case let member? in scan.members {
            do throws(Unusable) {
                let bitmap = try read(member, of: scan)
                guard var all = union else {
                    union = bitmap
                    continue
                }
                guard all.syncSectors == bitmap.syncSectors, all.chunkByteCount == bitmap.chunkByteCount else {
                    // A change of the array's size has reached only some members.
                    return .stale("the members' bitmaps differ in size")
                }
                for index in all.bits.indices { all.bits[index] |= bitmap.bits[index] }
                // The greatest count, so that a member can return only if it left after the last clearing of bits in
                // any bitmap.
                all.eventsCleared = max(all.eventsCleared, bitmap.eventsCleared)
                union = all
            } catch {
                switch error {
                case .stale(let what): reason = what
                case .refused(let what): throw ArrayStoreError("\(member.store.name) \(what)")
                }
            }
        }
        return union.map { .valid($0) } ?? .stale(reason)
    }

    /// Makes a bitmap without set bits, for an array that has room for one.
    static func new(for scan: MemberScan) -> MDBitmap {
        let room = scan.geometry.dataByteOffset - (scan.newest.bitmapByteOffset ?? 0)
        let wanted = MDSuperblock.bitmapAreaByteCount(memberDataByteCount: scan.geometry.memberDataByteCount)
        return MDBitmap(
            setUUID: scan.newest.setUUID, syncSectors: scan.geometry.memberDataByteCount / 512,
            areaByteCount: Int(min(room, wanted)), events: scan.newest.events)
    }

    /// Writes the header and the bits to every member that is up to date, durably.
    static func write(_ bitmap: MDBitmap, to members: [ArrayMember?]) throws(ArrayStoreError) {
        try write(bitmap.encoded, to: members.compactMap { $0 })
    }

    /// Writes the header alone, durably.
    static func writeHeader(_ bitmap: MDBitmap, to member: ArrayMember) throws(ArrayStoreError) {
        try write(bitmap.encodedHeader, to: [member])
    }

    private static func write(_ bytes: [UInt8], to members: [ArrayMember]) throws(ArrayStoreError) {
        for member in members {
            guard let start = member.superblock.bitmapByteOffset else { continue }
            do throws(MemberStoreError) {
                try member.store.write(bytes: bytes, at: start)
                try member.store.flush()
            } catch {
                throw ArrayStoreError(
                    "cannot write the bitmap of \(member.store.name): \(error)", cause: error)
            }
        }
    }

    /// Why a member's bitmap is not used.
    private enum Unusable: Error {
        case stale(String)
        case refused(String)
    }

    private static func read(_ member: ArrayMember, of scan: MemberScan) throws(Unusable) -> MDBitmap {
        guard let start = member.superblock.bitmapByteOffset else { throw .stale("no member has one") }
        let bitmap = try parse(member.store, at: start, room: Int(scan.geometry.dataByteOffset - start))
        guard bitmap.setUUID == scan.newest.setUUID, bitmap.syncSectors * 512 >= scan.geometry.memberDataByteCount
        else { throw .stale("that of \(member.store.name) is another array's") }
        guard bitmap.events >= scan.newest.events, !bitmap.isStale else {
            throw .stale("that of \(member.store.name) is out of date")
        }
        return bitmap
    }

    /// Reads a bitmap's first page, and then as much more as its bits take.
    /// - Parameter room: the number of bytes between the bitmap's start and the data.
    private static func parse(_ store: any MemberStore, at start: UInt64, room: Int) throws(Unusable) -> MDBitmap {
        var count = MDBitmap.pageByteCount
        while true {
            do {
                let bytes = try store.bytes(at: start, count: count)
                return try bytes.withUnsafeBytes { try MDBitmap(parsing: $0) }
            } catch MDBitmap.Problem.unsupportedVersion(let version) {
                throw .refused(
                    "has a bitmap of version \(version), of a newer or clustered kind; serve it with Linux md")
            } catch MDBitmap.Problem.incomplete(let bitCount) where MDBitmap.byteCount(bitCount: bitCount) <= room {
                guard bitCount <= MDBitmap.bitCountMax else {
                    throw .refused(
                        "has a bitmap of \(bitCount) regions; \(MDBitmap.bitCountMax) is the maximum; let Linux md "
                            + "make one with a larger chunk instead (mdadm --grow --bitmap=none, then --bitmap=internal)"
                    )
                }
                count = MDBitmap.byteCount(bitCount: bitCount)
            } catch { throw .stale("that of \(store.name) cannot be read") }
        }
    }
}
