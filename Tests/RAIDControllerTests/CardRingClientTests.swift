import TestTraits
import Testing

@testable import RAIDControllerInterface

/// The driver's end of the rings, with the card's end played by hand.
@Suite("Card ring client", .blocks)
struct CardRingClientTests {
    /// Rings of four entries in memory of their own.
    private final class Rings {
        private let memory = RingMemory(capacity: 4)
        var client: CardRingClient { memory.client }
        var completions: UnsafeMutableRawBufferPointer { memory.completions }
        var registers: [Int: UInt32] = [:]
        /// The registers in the order of the writes.
        var writes: [Int] = []

        init() { client.enable(submissionAddress: 0x1_2345_6780, completionAddress: 0x9_8765_4300, write) }

        func write(_ register: Int, _ value: UInt32) {
            registers[register] = value
            writes.append(register)
        }

        func submittedTag(_ position: Int) -> UInt32 {
            memory.submissions.load(fromByteOffset: 64 * position, as: UInt32.self)
        }

        func complete(tag: UInt32, position: Int) {
            completions.storeBytes(of: tag, toByteOffset: 64 + 64 * position, as: UInt32.self)
        }

        func taken() -> [UInt32] { memory.taken().map(\.tag) }
    }

    @Test("enabling empties the completion ring, programs both rings, and starts the card at last")
    func enable() {
        let rings = Rings()
        #expect(rings.completions.load(as: UInt32.self) == 0)
        #expect(
            rings.registers == [
                RAIDControllerRegister.submissionBaseLow: 0x2345_6780, RAIDControllerRegister.submissionBaseHigh: 1,
                RAIDControllerRegister.submissionCapacity: 4, RAIDControllerRegister.completionBaseLow: 0x8765_4300,
                RAIDControllerRegister.completionBaseHigh: 9, RAIDControllerRegister.completionCapacity: 4,
                RAIDControllerRegister.control: RAIDControllerRegister.controlEnable,
            ])
        #expect(rings.writes.last == RAIDControllerRegister.control)
    }

    @Test("commands go round the ring, and the doorbell's index does not")
    func submissions() {
        let rings = Rings()
        for tag in UInt32(10)..<16 { rings.client.addCommand().pointee.tag = tag }
        #expect(rings.registers[RAIDControllerRegister.submissionTail] == nil)
        rings.client.ringDoorbell(rings.write)
        #expect(rings.registers[RAIDControllerRegister.submissionTail] == 6)
        #expect((0..<4).map(rings.submittedTag) == [14, 15, 12, 13])
    }

    @Test("completions are taken once, up to the producer's index, also where indices wrap")
    func completions() {
        let rings = Rings()
        for position in 0..<4 { rings.complete(tag: UInt32(position), position: position) }
        #expect(rings.taken() == [])
        rings.client.completionHead = .max - 1
        rings.completions.storeBytes(of: 1, as: UInt32.self)
        #expect(rings.taken() == [2, 3, 0])
        #expect(rings.taken() == [])
        rings.completions.storeBytes(of: 2, as: UInt32.self)
        #expect(rings.taken() == [1])
    }

    @Test("a CDB and sense data lie at their offsets")
    func arrays() {
        var command = RAIDCommandDescriptor()
        for index in 0..<16 { command.cdb[index] = UInt8(100 + index) }
        withUnsafeBytes(of: command) { #expect(Array($0[8..<24]) == Array(100..<116)) }
        var completion = RAIDCompletionDescriptor()
        for index in 0..<32 { completion.sense[index] = UInt8(200 + index) }
        withUnsafeBytes(of: completion) { #expect(Array($0[16..<48]) == Array(200..<232)) }
        #expect(command.cdb[15] == 115 && completion.sense[31] == 231)
    }
}
