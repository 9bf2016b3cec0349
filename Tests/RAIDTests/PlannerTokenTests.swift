import MDFormat
import MemberIO
import Testing

@testable import RAID

@Suite("The planner's tokens")
struct PlannerTokenTests {
    private static let kindsOfArray: [PlannerToken.Kind] = [
        .flushRound, .bitmapWrite, .bitmapFlush,
    ]

    @Test("an operation's index comes back", arguments: [0, 1, 4095, .max] as [Int32])
    func operation(_ number: Int32) {
        let index = OperationIndex(rawValue: number)
        let token = PlannerToken(rawValue: PlannerToken.operation(index).rawValue)
        #expect(token.kind == .operation && token.operation == index && !token.isToReplacement)
    }

    @Test("so do the index and the role of what is healed", arguments: [0, 1, 63, 255] as [Role])
    func healing(_ role: Role) {
        for index in [0, 7, OperationIndex(rawValue: .max)] {
            let token = PlannerToken(rawValue: PlannerToken.healing(index, role: role).rawValue)
            #expect(token.kind == .healing && token.operation == index && token.healedRole == role)
        }
    }

    @Test("a request's tag comes back", arguments: [0, 1, .max] as [UInt32])
    func request(_ tag: UInt32) {
        let token = PlannerToken(rawValue: PlannerToken.request(tag: tag).rawValue)
        #expect(token.kind == .request && token.tag == tag)
    }

    @Test("the array's kinds have an age", arguments: kindsOfArray)
    func array(_ kind: PlannerToken.Kind) {
        for generation in [0, 255, 256, 300, .max] as [UInt32] {
            let token = PlannerToken.array(kind, generation: generation)
            #expect(token.kind == kind)
            for age in [0, 1, 255] as [UInt32] { #expect(token.age(in: generation &+ age) == age) }
        }
    }

    @Test("those of logs have an age too, and say whose they are")
    func logs() {
        for generation in [0, 255, 256, 300, .max] as [UInt32] {
            let write = PlannerToken.logWrite(of: 255, generation: generation)
            let flush = PlannerToken.logFlush(of: 64, generation: generation)
            #expect(write.kind == .logWrite && write.logRole == 255)
            #expect(flush.kind == .logFlush && flush.flushedPlace == 64)
            for token in [write, flush] { #expect(token.age(in: generation &+ 255) == 255) }
        }
    }

    @Test("a copy for the replacement says the same, and that it is one")
    func replacement() {
        let tokens =
            [
                PlannerToken.operation(OperationIndex(rawValue: .max)), .healing(3, role: 255), .request(tag: .max),
                .logWrite(of: 2, generation: 255), .logFlush(of: 64, generation: 255),
            ]
            + Self.kindsOfArray.map { .array($0, generation: 255) }
        for token in tokens {
            let copy = token.toReplacement
            #expect(copy.kind == token.kind && copy.isToReplacement && !token.isToReplacement)
            #expect(copy.toReplacement == copy)
            #expect(copy.rawValue >> PlannerToken.bitCount == 0, "the bits above are others'")
        }
        #expect(Set(tokens.flatMap { [$0.rawValue, $0.toReplacement.rawValue] }).count == 2 * tokens.count)
        #expect(PlannerToken.healing(3, role: 255).toReplacement.healedRole == 255)
    }

    @Test("what is read is what was made, and nothing else")
    func misuse() async {
        await #expect(processExitsWith: .failure) { _ = PlannerToken(rawValue: 1 << 48).kind }
        await #expect(processExitsWith: .failure) { _ = PlannerToken(rawValue: 8 << 40).kind }
        await #expect(processExitsWith: .failure) { _ = PlannerToken.request(tag: 1).operation }
        await #expect(processExitsWith: .failure) { _ = PlannerToken.array(.request, generation: 0) }
        await #expect(processExitsWith: .failure) { _ = PlannerToken.logWrite(of: 1, generation: 0).flushedPlace }
    }
}
