import RAID
import TestTraits
import Testing

@testable import RAIDController

@Suite("The card's tokens", .blocks)
struct CardTokenTests {
    @Test("the card's own have an array and a command", arguments: [0, 1, 61, 255], [0, 1, .max] as [UInt32])
    func direct(array: Int, command: UInt32) {
        let token = CardToken(rawValue: CardToken.direct(array: array, command: command).rawValue)
        #expect(token.isDirect && token.array == array && token.command == command)
    }

    @Test("the planner's come back as they were", arguments: [0, 1, 61, 255], [0, 1, 1 << 48 - 1] as [UInt64])
    func planned(array: Int, planned: UInt64) {
        let token = CardToken.planned(array: array, PlannerToken(rawValue: planned))
        #expect(!token.isDirect && token.array == array && token.planned.rawValue == planned)
    }

    @Test("neither can be taken for the other")
    func misuse() async {
        await #expect(processExitsWith: .failure) { _ = CardToken.direct(array: 1, command: 2).planned }
        await #expect(processExitsWith: .failure) {
            _ = CardToken.planned(array: 1, PlannerToken(rawValue: 2)).command
        }
        await #expect(processExitsWith: .failure) {
            _ = CardToken.planned(array: 1, PlannerToken(rawValue: 1 << 48))
        }
    }
}
