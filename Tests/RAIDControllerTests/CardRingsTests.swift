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
        let rings: CardRings
        private let memory = RingMemory(capacity: 8)
        private let addresses: [DART.BusAddress]

        init() {
            rings = CardRings(dart: dart)
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

        /// Gives the card a command, which takes it.
        /// - Returns: the command's completion.
        func begin(tag: UInt32) -> FinishedCommand {
            var descriptor = RAIDCommandDescriptor()
            descriptor.tag = tag
            memory.client.addCommand().pointee = descriptor
            memory.client.ringDoorbell { rings.write($0, $1) }
            return withUnsafeTemporaryAllocation(of: FetchedCommand.self, capacity: 1) { commands in
                #expect(rings.take(into: commands.baseAddress!, limit: 1) == 1)
                let command = commands.moveElement(from: 0)
                var completion = RAIDCompletionDescriptor()
                completion.tag = command.descriptor.tag
                return FinishedCommand(completion: completion, epoch: command.epoch)
            }
        }

        /// Has the card post completions.
        /// - Returns: the tags that the driver finds in its ring.
        func post(_ batch: [FinishedCommand]) -> [UInt32] {
            batch.withUnsafeBufferPointer { rings.post($0) }
            return memory.taken().map(\.tag)
        }
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
