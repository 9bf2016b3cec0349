import RAID
import TestTraits
import Testing

@testable import ArrayEngine

@Suite("The engine's tokens", .blocks)
struct EngineTokenTests {
    @Test("those of direct reads have an array and a tag", arguments: [0, 1, 61, 255], [0, 1, .max] as [UInt32])
    func direct(array: Int, tag: UInt32) {
        let token = EngineToken(rawValue: EngineToken.direct(array: array, tag: tag).rawValue)
        #expect(token.isDirect && token.array == array && token.tag == tag)
    }

    @Test("the planner's come back as they were", arguments: [0, 1, 61, 255], [0, 1, 1 << 48 - 1] as [UInt64])
    func planned(array: Int, planned: UInt64) {
        let token = EngineToken.planned(array: array, PlannerToken(rawValue: planned))
        #expect(!token.isDirect && token.array == array && token.planned.rawValue == planned)
    }

    @Test("neither can be taken for the other")
    func misuse() async {
        await #expect(processExitsWith: .failure) { _ = EngineToken.direct(array: 1, tag: 2).planned }
        await #expect(processExitsWith: .failure) {
            _ = EngineToken.planned(array: 1, PlannerToken(rawValue: 2)).tag
        }
        await #expect(processExitsWith: .failure) {
            _ = EngineToken.planned(array: 1, PlannerToken(rawValue: 1 << 48))
        }
    }
}
