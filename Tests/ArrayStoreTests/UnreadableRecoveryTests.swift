import ArrayStore
import MDFormat
import MemberIO
import RAID
import TestTraits
import Testing

@Suite("Recovery that meets blocks that cannot be read", .blocks)
struct UnreadableRecoveryTests {
    /// Lets the block of a member at a row of a stripe be unreadable.
    private func damage(_ role: Int, stripe: UInt64, row: UInt64, of fixture: RecoveryFixture) {
        let block = Int(fixture.geometry.memberByteOffset(stripe: stripe, chunkOffset: row) / 4096)
        fixture.members[role].state.withLock { state in
            state.unreadable.insert(block)
            state.bytes.replaceSubrange(block * 4096..<(block + 1) * 4096, with: Array(repeating: 0xBD, count: 4096))
        }
    }

    /// Whether a member holds what it should, and can be read.
    private func holds(_ role: Int, _ fixture: RecoveryFixture) -> Bool {
        let bytes = try? fixture.members[role].bytes(
            at: fixture.geometry.dataByteOffset, count: Int(fixture.geometry.memberDataByteCount))
        return bytes == fixture.data[role]
    }

    private func openingFails(_ fixture: RecoveryFixture, without missing: Int? = nil, force: Bool = false)
        -> ArrayStoreError?
    {
        do { try fixture.open(without: missing, force: force) } catch { return error as? ArrayStoreError }
        return nil
    }

    @Test("parity is written anew, since all data is there", arguments: [ArrayConsistency.resync, .bitmap])
    func parity(consistency: ArrayConsistency) throws {
        // Stripe 1 has its parity on member 2. Without a valid bitmap all is checked.
        let fixture = try RecoveryFixture(consistency, bitmapEventsLag: 1)
        damage(2, stripe: 1, row: 8192, of: fixture)
        damage(2, stripe: 1, row: 61440, of: fixture)
        try fixture.open()
        #expect(holds(2, fixture))
        #expect(try fixture.superblock(0).isClean)
    }

    @Test("data follows from parity that is in doubt, so the array is refused, or the places are named")
    func data() throws {
        let fixture = try RecoveryFixture(.resync)
        damage(0, stripe: 1, row: 8192, of: fixture)
        damage(3, stripe: 2, row: 0, of: fixture)
        let refusal = try #require(openingFails(fixture))
        #expect(
            refusal.kind == .dirtyAndDegraded && refusal.description.hasPrefix("m0 cannot read the 4096 bytes at byte"))
        #expect(try !fixture.superblock(0).isClean)
        let messages = Messages()
        try fixture.open(messages, force: true)
        // Column 1 of stripe 1, and member 3's column of stripe 2.
        let column = try #require((0..<3).first { fixture.geometry.member(stripe: 2, column: $0) == 3 })
        let first = 4 * 65536 + 8192
        let second = (6 + column) * 65536
        #expect(
            messages.all.contains {
                $0.contains("2 blocks") && $0.contains("\(first)..<\(first + 4096), \(second)..<")
            },
            "\(messages.all)")
        for role in 0..<4 { #expect(holds(role, fixture)) }
        #expect(try fixture.superblock(0).isClean)
    }

    @Test("what two members cannot read has no other copy, by force neither")
    func two() throws {
        for other in [1, 2] {
            let fixture = try RecoveryFixture(.resync)
            damage(0, stripe: 1, row: 8192, of: fixture)
            damage(other, stripe: 1, row: 8192, of: fixture)
            let refusal = try #require(openingFails(fixture, force: true))
            #expect(refusal.kind == .memberIO && refusal.description.hasPrefix("m0 and m\(other) cannot read"))
        }
    }

    @Test(
        "with logs only rows that were being written are read, and what was itself comes to go with the others"
    )
    func logged() throws {
        // Column 0 of stripe 1 is on member 3.
        let fixture = try RecoveryFixture(.ppl)
        try fixture.log(stripe: 1, column: 0, row: 8192)
        damage(3, stripe: 1, row: 8192, of: fixture)
        damage(0, stripe: 2, row: 4096, of: fixture)
        #expect(openingFails(fixture, without: 1)?.kind == .memberIO)
        try fixture.open()
        // Neither data nor parity had been written yet.
        #expect(holds(3, fixture))
        #expect(try fixture.hasRightParity(stripe: 1, row: 8192) && fixture.superblock(0).isClean)
    }
}
