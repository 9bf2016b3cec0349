import HardwareBus
import RAIDControllerInterface
import TestTraits
import Testing

@testable import RAIDController

/// The card's end of the rings, without the rest of the card.
@Suite("The card's rings", .blocks)
struct CardRingsTests {
    /// Rings as a driver makes them.
    private final class Driver {
        let dart = DART(windowCount: 2, reservedCount: 0)
        let commands: CommandTable
        let rings: CardRings
        private let memory = RingMemory(capacity: 8)
        private let addresses: [DART.BusAddress]

        /// - Parameter commandCapacity: the most commands in the card.
        init(commandCapacity: Int = 8) {
            commands = CommandTable(capacity: commandCapacity, dart: dart)
            rings = CardRings(dart: dart, commands: commands)
            addresses = [memory.submissions, memory.completions].map { [dart] in
                dart.map(
                    window: dart.claimWindow()!, memory: $0.baseAddress!, byteCount: $0.count, deviceMayWrite: true)!
            }
        }

        deinit { rings.write(RAIDControllerRegister.control, 0) }

        /// Gives the card empty rings, as a driver does when it starts.
        func start() {
            memory.client.enable(submissionAddress: addresses[0], completionAddress: addresses[1]) {
                rings.write($0, $1)
            }
        }

        /// Gives the card commands with one doorbell.
        func give(_ tags: ClosedRange<UInt32>) {
            for tag in tags {
                var descriptor = RAIDCommandDescriptor()
                descriptor.tag = tag
                memory.client.addCommand().pointee = descriptor
            }
            memory.client.ringDoorbell { rings.write($0, $1) }
        }

        /// Has the card take commands.
        /// - Returns: their numbers.
        func take(_ limit: Int = 8) -> [UInt32] {
            [UInt32](unsafeUninitializedCapacity: limit) { numbers, count in
                count = rings.take(into: numbers.baseAddress!, limit: limit)
            }
        }

        func tags(of numbers: [UInt32]) -> [UInt32] { numbers.map { commands[$0].pointee.descriptor.tag } }

        /// Gives the card a command, which takes it.
        /// - Returns: its number.
        func begin(tag: UInt32) -> UInt32 {
            give(tag...tag)
            return take()[0]
        }

        /// Has the card answer commands.
        /// - Returns: the tags that the driver finds in its ring.
        func post(_ numbers: [UInt32]) -> [UInt32] {
            numbers.withUnsafeBufferPointer { rings.post($0) }
            return memory.taken().map(\.tag)
        }
    }

    @Test("commands are taken in the ring's order, some at a time")
    func order() {
        let driver = Driver()
        driver.start()
        driver.give(1...5)
        driver.give(6...7)
        #expect(driver.tags(of: driver.take(4)) == [1, 2, 3, 4])
        #expect(driver.tags(of: driver.take(4)) == [5, 6, 7])
        #expect(!driver.rings.hasCommands && driver.take() == [])
    }

    @Test("commands for which the card has no room stay in the ring until others are answered")
    func noRoom() {
        let driver = Driver(commandCapacity: 4)
        driver.start()
        driver.give(1...6)
        var taken = driver.take()
        #expect(driver.tags(of: taken) == [1, 2, 3, 4])
        #expect(driver.post(Array(taken[0...0])) == [1])
        #expect(driver.tags(of: driver.take()) == [5])
        driver.give(7...8)
        #expect(!driver.rings.hasCommands)
        #expect(driver.post(Array(taken[1...3])) == [2, 3, 4])
        taken = driver.take()
        #expect(driver.tags(of: taken) == [6, 7, 8])
        #expect(driver.post(taken) == [6, 7, 8])
    }

    @Test("a reset drops the commands that no lane has taken, and frees their entries")
    func dropped() {
        let driver = Driver(commandCapacity: 4)
        driver.start()
        driver.give(1...6)
        let taken = driver.take(1)
        driver.rings.write(RAIDControllerRegister.control, 0)
        #expect(driver.take() == [])
        driver.start()
        driver.give(7...9)
        #expect(driver.tags(of: driver.take()) == [7, 8, 9])
        #expect(driver.post(taken) == [])
        driver.give(10...10)
        #expect(driver.tags(of: driver.take()) == [10])
    }

    @Test("what the card had begun for a driver that is gone is not answered to the next one")
    func nextDriver() {
        let driver = Driver()
        driver.start()
        let answered = driver.begin(tag: 1)
        #expect(driver.post([answered]) == [1])
        let underWay = (2...3).map { driver.begin(tag: $0) }
        driver.rings.write(RAIDControllerRegister.control, 0)
        #expect(driver.post([underWay[0]]) == [])
        driver.start()
        let own = driver.begin(tag: 2)
        #expect(driver.post([underWay[1], own]) == [2])
    }

    @Test("a driver that starts again without a reset is another one, too")
    func startedTwice() {
        let driver = Driver()
        driver.start()
        let underWay = driver.begin(tag: 1)
        driver.start()
        #expect(driver.post([underWay, driver.begin(tag: 2)]) == [2])
    }
}
