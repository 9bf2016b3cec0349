import Glibc
import RAIDControllerInterface
import SCSIControllerDriverKit

/// Habits that leave the card at work on memory that goes away, or changes. They read only, so the array's data stay
/// right. Each ends its process before long.
extension MisbehavingDriver {
    /// Has the card read into memory of the driver's own, and is gone before it has.
    func leaveCommandsBehind() {
        guard let ring = OwnRing(provider), let memory = OwnMemory(provider, byteCount: 8 << 20) else { _exit(1) }
        let isHeavy = Int.random(in: 0..<50) == 0
        for _ in 0..<(isHeavy ? 1000 : .random(in: 1...200)) {
            let blockCount = isHeavy ? 16384 : UInt32.random(in: 8...4096)
            ring.post(.read, blockCount: blockCount, at: memory.address)
        }
        ring.ringDoorbell()
        // The server may have to come to the doorbell first.
        usleep(.random(in: 0...3000))
        _exit(0)
    }

    /// Maps a small block and a large one in turn, while the card is given commands for the large one; and makes and
    /// drops memory meanwhile.
    func remap() {
        guard let ring = OwnRing(provider), let small = OwnMemory(provider, byteCount: 4096),
            let large = OwnMemory(provider, byteCount: 2 << 20), let turn = OwnMemory(provider, byteCount: 4096)
        else { _exit(1) }
        IODispatchQueue.make("Remap").DispatchAsync {
            while true {
                _ = turn.map(large)
                _ = turn.map(small)
            }
        }
        for _ in 0..<Int.random(in: 1...60) {
            for _ in 0..<16 { ring.post(.read, blockCount: [8, 4096].randomElement()!, at: turn.address) }
            ring.ringDoorbell()
            if let other = OwnMemory(provider, byteCount: .random(in: 1...1 << 20)) {
                ring.post(.read, blockCount: 8, at: other.address)
                ring.ringDoorbell()
                other.drop()
            }
            usleep(.random(in: 0...1000))
        }
        _exit(0)
    }

    /// Has the card look at other tasks' memory, whoever has it now.
    func useForeignWindows() {
        guard let ring = OwnRing(provider) else { _exit(1) }
        for _ in 0..<Int.random(in: 1...200) {
            for _ in 0..<32 {
                ring.post(.verify, blockCount: .random(in: 1...64), at: .random(in: 1...300) << 32)
            }
            ring.ringDoorbell()
            usleep(.random(in: 0...500))
        }
        _exit(0)
    }
}

/// Memory of the driver's own that the card may reach.
private final class OwnMemory: @unchecked Sendable {
    // SAFETY: set when it is made.
    let base: UnsafeMutableRawPointer
    let address: UInt64
    private let descriptor: IOBufferMemoryDescriptor
    private let command: IODMACommand

    init?(_ device: IOPCIDevice, byteCount: UInt64) {
        var descriptor: IOBufferMemoryDescriptor?
        var map: IOMemoryMap?
        var command: IODMACommand?
        var segment = IOAddressSegment(address: 0, length: 0)
        guard
            IOBufferMemoryDescriptor.Create(0, byteCount, 4096, &descriptor) == kIOReturnSuccess,
            descriptor!.CreateMapping(0, 0, 0, 0, 0, &map) == kIOReturnSuccess,
            IODMACommand.Create(device, 0, .any, &command) == kIOReturnSuccess,
            command!.prepare(descriptor!, &segment) == kIOReturnSuccess
        else { return nil }
        base = UnsafeMutableRawPointer(bitPattern: UInt(map!.GetAddress()))!
        address = segment.address
        self.descriptor = descriptor!
        self.command = command!
    }

    /// Maps another one's memory in the place of its own.
    func map(_ other: OwnMemory) -> kern_return_t {
        var segment = IOAddressSegment(address: 0, length: 0)
        return command.prepare(other.descriptor, &segment)
    }

    func drop() {
        _ = command.CompleteDMA(0)
        descriptor.release()
    }
}

/// Rings in the place of the driver's. It hears of no completion from then on, so it ends no task that the card has not
/// done.
private struct OwnRing {
    enum Command {
        case read
        /// Compares, and so reads the memory.
        case verify
    }

    private static let capacity = 1024
    /// The smallest array that the habits are for.
    private static let blockCount: UInt64 = 65536
    private let device: IOPCIDevice
    private let memory: OwnMemory
    private let completions: OwnMemory
    private let rings: CardRingClient

    init?(_ device: IOPCIDevice) {
        let submissionByteCount = UInt64(RAIDCommandDescriptor.ringByteCount(capacity: Self.capacity))
        let completionByteCount = UInt64(RAIDCompletionDescriptor.ringByteCount(capacity: Self.capacity))
        guard let memory = OwnMemory(device, byteCount: submissionByteCount),
            let completions = OwnMemory(device, byteCount: completionByteCount)
        else { return nil }
        self.device = device
        self.memory = memory
        self.completions = completions
        rings = CardRingClient(submissions: memory.base, completions: completions.base, capacity: Self.capacity)
        // No command is taken between the two.
        write(RAIDControllerRegister.control, 0)
        rings.enable(submissionAddress: memory.address, completionAddress: completions.address, write)
    }

    /// Puts a command for a random place of target 0 into the ring.
    func post(_ kind: Command, blockCount: UInt32, at address: UInt64) {
        var command = RAIDCommandDescriptor()
        command.cdbSize = 16
        command.cdb[0] = kind == .read ? 0x88 : 0x8F
        if kind == .verify { command.cdb[1] = 0x02 }
        let lba = UInt64.random(in: 0...Self.blockCount - UInt64(blockCount))
        for byte in 0..<8 { command.cdb[2 + byte] = UInt8(truncatingIfNeeded: lba >> UInt64(56 - 8 * byte)) }
        for byte in 0..<4 { command.cdb[10 + byte] = UInt8(truncatingIfNeeded: blockCount >> UInt32(24 - 8 * byte)) }
        command.dataAddress = address
        command.dataByteCount = UInt64(blockCount) * 512
        command.direction = kind == .read ? 2 : 1
        rings.addCommand().pointee = command
    }

    func ringDoorbell() { rings.ringDoorbell(write) }

    private func write(_ register: Int, _ value: UInt32) { device.MemoryWrite32(0, UInt64(register), value) }
}

extension IODMACommandSpecification {
    /// For a device that reaches all addresses.
    static let any = IODMACommandSpecification(maxAddressBits: 64)
}

extension IODMACommand {
    /// Maps all of the memory.
    func prepare(_ memory: IOBufferMemoryDescriptor, _ segment: inout IOAddressSegment) -> kern_return_t {
        var flags: UInt64 = 0
        var count: UInt32 = 1
        return PrepareForDMA(0, memory, 0, 0, &flags, &count, &segment)
    }
}
