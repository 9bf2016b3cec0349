import MemberIO
import RAID

/// Superblocks of other md versions, which lie at other offsets. They are only recognised, for messages.
enum ForeignMetadata {
    private static let magic: [UInt8] = [0xFC, 0x4E, 0x2B, 0xA9]

    /// The version of the md metadata on a member that has none of version 1.2: "0.90", "1.0", "1.1"; nil without any.
    static func version(on store: any MemberStore) -> String? {
        if isVersion1(store, at: 0) { return "1.1" }
        // Version 1.0 lies 8 to 12 KiB before the end, at a multiple of 4 KiB.
        if store.byteCount >= 12 << 10 {
            let place = ((store.byteCount / 512 - 16) & ~7) * 512
            if isVersion1(store, at: place) { return "1.0" }
        }
        // Version 0.90 lies in the last whole 64 KiB (md_p.h, MD_NEW_SIZE_SECTORS), in the byte order of the machine
        // that wrote it.
        guard store.byteCount >= 128 << 10 else { return nil }
        let place = (store.byteCount & ~0xFFFF) - 0x10000
        let found = try? store.bytes(at: place, count: 8)
        let isOld = found.map {
            Array($0[..<4]) == magic && $0[4] == 0 || Array($0[..<4]) == magic.reversed() && $0[7] == 0
        }
        return isOld == true ? "0.90" : nil
    }

    /// Whether a superblock of major version 1 is here whose `super_offset` (md_p.h) says so too.
    private static func isVersion1(_ store: any MemberStore, at place: UInt64) -> Bool {
        guard let bytes = try? store.bytes(at: place, count: 256) else { return false }
        var sectors: UInt64 = 0
        for byte in bytes[144..<152].reversed() { sectors = sectors << 8 | UInt64(byte) }
        return Array(bytes[..<4]) == magic && Array(bytes[4..<8]) == [1, 0, 0, 0] && sectors == place / 512
    }
}
