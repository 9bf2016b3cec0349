import TestTraits
import Testing

@testable import MDFormat

@Suite("What is served of md's arrays", .blocks)
struct SupportTests {
    private func superblock(
        _ level: RAIDLevel = .raid5, consistency: ArrayConsistency = .resync,
        change: (inout MDSuperblock) -> Void = { _ in }
    ) -> MDSuperblock {
        let geometry = ArrayGeometry(
            level: level, memberCount: 4, chunkByteCount: 65536, memberDataByteCount: 64 << 20, dataByteOffset: 2 << 20)
        var superblock = MDSuperblock(
            geometry: geometry, memberByteCount: 66 << 20, name: "x", setUUID: Array(1...16),
            deviceUUID: Array(17...32),
            role: 2, time: 1_700_000_000, consistency: consistency)
        change(&superblock)
        superblock.seal()
        return superblock
    }

    private func refusal(_ superblock: MDSuperblock) throws -> String? {
        do {
            _ = try MDSuperblock(parsing: superblock.bytes).geometry()
            return nil
        } catch MDSuperblock.Problem.unsupported(let reason) { return reason }
    }

    @Test("bitmaps and logs are where mdadm puts them", arguments: ArrayConsistency.allCases)
    func places(consistency: ArrayConsistency) throws {
        let superblock = superblock(consistency: consistency)
        #expect(try refusal(superblock) == nil)
        #expect(superblock.consistency == consistency)
        #expect(superblock.bitmapByteOffset == (consistency == .bitmap ? 8192 : nil))
        let range = superblock.partialParityLogRange
        #expect(range?.lowerBound == (consistency == .ppl ? 8192 : nil))
        #expect(range?.count == (consistency == .ppl ? 1 << 20 : nil))
    }

    @Test("an array that is being rebuilt is known as such")
    func recovery() throws {
        let superblock = superblock {
            $0.features.insert(.recoveryOffset)
            $0.recoveryOffsetSectors = 4096
        }
        #expect(try refusal(superblock) == nil)
        #expect(superblock.recoveryByteOffset == 2 << 20)
        #expect(self.superblock().recoveryByteOffset == nil)
    }

    /// What is changed, and a word of the reason.
    static let refusals: [(String, @Sendable (inout MDSuperblock) -> Void)] = [
        ("reshaped", { $0.features.insert(.reshape) }), ("reshaped", { $0.features.insert(.newOffset) }),
        ("journal", { $0.features.insert(.journal) }), ("clustered", { $0.features.insert(.clustered) }),
        ("bad blocks", { $0.features.insert(.badBlocks) }),
        ("unknown features of md (0x4000)", { $0.features.insert(.init(rawValue: 0x4000)) }),
        ("exclude each other", { $0.features.insert([.bitmap, .partialParityLog]) }),
        ("exclude each other", { $0.features.insert(.anyPartialParityLog) }),
        ("exclude each other", { $0.features.insert(.raid0Layout) }),
        ("RAID 6", { $0.level = 6 }), ("RAID 1 ", { $0.level = 1 }), ("linear", { $0.level = -1 }),
        ("right-asymmetric", { $0.layout = 1 }), ("chunk of 49152", { $0.chunkSectors = 96 }),
        ("chunk of 2048", { $0.chunkSectors = 4 }), ("33 members", { $0.memberCount = 33 }),
        ("2 members", { $0.memberCount = 2 }), ("sizes", { $0.usedSectors = $0.dataSectors + 128 }),
        ("sizes", { $0.dataOffsetSectors = 8 }),
        (
            "unusual place",
            {
                $0.features.insert(.bitmap)
                $0.bitmapOffsetSectors = -8
            }
        ),
        (
            "unusual place",
            {
                $0.features.insert(.partialParityLog)
                $0.partialParityLogOffsetSectors = 8
                $0.partialParityLogSectors = 8192
            }
        ),
    ]

    @Test("everything else is refused, with the reason and what to do", arguments: refusals.indices)
    func refused(index: Int) throws {
        let (word, change) = Self.refusals[index]
        let reason = try #require(try refusal(superblock(change: change)))
        #expect(reason.contains(word) && (reason.contains("; ") || reason.contains(": ")), "\(reason)")
    }

    @Test("a RAID 0 array has no bitmap and no log")
    func raid0() throws {
        #expect(try refusal(superblock(.raid0)) == nil)
        #expect(try refusal(superblock(.raid0) { $0.features.insert(.bitmap) })?.contains("exclude") == true)
        #expect(try refusal(superblock(.raid0) { $0.layout = 3 })?.contains("layout") == true)
    }

    @Test("a member keeps what is not interpreted when it takes over a state")
    func state() {
        var old = superblock { $0.store(UInt32(0xABCD_EF01), 224) }
        var new = superblock()
        new.events = 9
        new.resyncOffset = 0
        new.setRole(MDSuperblock.roleFaulty, ofDevice: 1)
        old.takeState(of: new)
        let kept: UInt32 = old.load(224)
        #expect(kept == 0xABCD_EF01)
        #expect(old.events == 9 && !old.isClean && old.role(ofDevice: 1) == MDSuperblock.roleFaulty)
    }
}
