import ArrayStore
import MDFormat
import RAID
import TestTraits
import Testing

@Suite("A recovery that is cancelled", .blocks)
struct CancelledRecoveryTests {
    private static let policies: [ArrayConsistency] = [.resync, .bitmap, .ppl]

    @Test("ends after the step that is under way, and is done anew when the array is opened again", arguments: policies)
    func cancelled(policy: ArrayConsistency) throws {
        let fixture = try RecoveryFixture(policy, bitmapEventsLag: 1)
        for stripe in UInt64(0)..<3 { try fixture.damageParity(stripe: stripe, row: 0) }
        let messages = Messages()
        // It is cancelled while the first wrong block of parity is rewritten.
        for member in fixture.members {
            member.state.withLock { $0.beforeWrite = { messages.startUp.cancel() } }
        }
        let error = #expect(throws: ArrayStoreError.self) { try fixture.open(messages) }
        #expect(error?.kind == .cancelled)
        #expect(messages.startUp.picture.hasPrefix("checking the parity of the array in here, "))
        for role in 0..<4 { #expect(try fixture.superblock(role).resyncOffset == 0) }
        #expect(try !fixture.hasRightParity(stripe: 2, row: 0))
        for member in fixture.members { member.state.withLock { $0.beforeWrite = nil } }
        try fixture.open()
        for stripe in UInt64(0)..<3 { #expect(try fixture.hasRightParity(stripe: stripe, row: 0)) }
        #expect(try fixture.superblock(0).isClean)
    }
}
