import Platform
import Synchronization
import TestTraits
import Testing

@Suite("A start that takes long", .blocks)
struct StartUpTests {
    @Test("says what it does and how far it is")
    func picture() {
        let startUp = StartUp()
        startUp.begin("opening")
        #expect(startUp.picture == "opening")
        startUp.begin("checking", total: 200)
        #expect(startUp.advance(by: 50))
        #expect(startUp.picture == "checking, 25 % done")
        #expect(startUp.advance(by: 1000))
        #expect(startUp.picture == "checking, 100 % done")
    }

    @Test("ends what it waits for when it is cancelled, also what it comes to afterwards")
    func cancel() {
        let startUp = StartUp()
        let calls = Atomic<Int>(0)
        startUp.whenCancelled { calls.add(1, ordering: .relaxed) }
        #expect(startUp.advance(by: 1))
        startUp.cancel()
        startUp.cancel()
        #expect(calls.load(ordering: .relaxed) == 1)
        #expect(startUp.isCancelled && !startUp.advance(by: 1))
        startUp.whenCancelled { calls.add(1, ordering: .relaxed) }
        #expect(calls.load(ordering: .relaxed) == 2)
        #expect(!startUp.finish())
    }

    @Test("cannot be cancelled when it is done")
    func finish() {
        let startUp = StartUp()
        let calls = Atomic<Int>(0)
        startUp.whenCancelled { calls.add(1, ordering: .relaxed) }
        #expect(startUp.finish())
        startUp.cancel()
        #expect(calls.load(ordering: .relaxed) == 0 && !startUp.isCancelled)
    }
}
