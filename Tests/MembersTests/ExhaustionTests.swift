import Glibc
import MemberIO
import Members
import Platform
import TestSupport
import TestTraits
import Testing

/// Each allocation of a descriptor fails once, at every place.
@Suite("Running out of descriptors", .blocks)
struct ExhaustionTests {
    @Test("a lane that cannot be made gives back what it has")
    func lanes() async {
        await #expect(processExitsWith: .success) {
            for engine in [MemberEngineKind.uring, .threads] {
                Descriptors.failOneByOne {
                    let slots = try (0..<2).map { _ in try MemberSlot() }
                    _ = try MemberLane(engine: engine, places: slots.map(\.place))
                }
            }
            exit(0)
        }
    }

    @Test("so does a bell, and one that watches")
    func bells() async {
        await #expect(processExitsWith: .success) {
            Descriptors.failOneByOne { _ = try WaitBell() }
            Descriptors.failOneByOne { _ = try DataArena(byteCount: 1 << 20) }
            exit(0)
        }
    }
}
