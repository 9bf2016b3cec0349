import Platform
import TestTraits
import Testing

@Suite("Events", .blocks)
struct EventsTests {
    @Test("an event that was set lets every wait go, from then on")
    func oneShot() throws {
        let event = OneShotEvent()
        #expect(!event.isSet && !event.wait(milliseconds: 1))
        let waiter = try OSThread(name: "sets") { event.set() }
        event.wait()
        waiter.join()
        #expect(event.isSet && event.wait(milliseconds: 1))
        event.wait()
    }

    @Test("a wait that something else ends says so, and asks again when it is nudged")
    func nudge() throws {
        let event = OneShotEvent()
        #expect(!event.wait(orUntil: { true }))
        let asked = OneShotEvent()
        var count = 0
        let nudger = try OSThread(name: "nudges") {
            asked.wait()
            event.nudge()
        }
        let wasSet = event.wait(orUntil: {
            count += 1
            asked.set()
            return count == 2
        })
        nudger.join()
        #expect(!wasSet)
    }

    @Test("a wait resets the event, and takes all that was set before it as one")
    func autoReset() throws {
        let event = AutoResetEvent()
        event.set()
        event.set()
        event.wait()
        #expect(!event.wait(milliseconds: 1))
        let setter = try OSThread(name: "sets") { event.set() }
        event.wait()
        setter.join()
        event.set()
        #expect(event.wait(milliseconds: 1))
        #expect(!event.wait(milliseconds: 1))
    }
}
