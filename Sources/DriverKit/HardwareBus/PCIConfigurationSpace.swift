import Synchronization

/// The configuration space of a card: the header of type 0 (PCI Local Bus 3.0, 6.1), without capabilities.
///
/// Threads: any.
public final class PCIConfigurationSpace: Sendable {
    /// Bytes of a conventional configuration space.
    public static let byteCount = 256
    private static let commandOffset = 0x04
    private static let barOffset = 0x10
    private static let interruptOffset = 0x3C
    private static let memorySpace: UInt32 = 1 << 1
    private static let busMaster: UInt32 = 1 << 2
    private static let interruptDisable: UInt32 = 1 << 10
    /// A place of the emulated machine's bus, where nothing else is.
    private static let barAddress: UInt32 = 0x8000_0000

    private let vendorID: UInt16
    private let deviceID: UInt16
    /// The class code, and the revision in the lowest byte.
    private let classAndRevision: UInt32
    private let barByteCount: UInt32
    private let command = Atomic<UInt32>(memorySpace | busMaster)
    private let bar = Atomic<UInt32>(barAddress)

    /// - Parameters:
    ///   - vendorID, deviceID: the numbers by which drivers match the card; its subsystem has the same.
    ///   - classCode: base class, subclass and programming interface, 24 bits.
    ///   - barByteCount: bytes of BAR 0, a power of two.
    public init(vendorID: UInt16, deviceID: UInt16, classCode: UInt32, revision: UInt8, barByteCount: Int) {
        precondition(barByteCount.nonzeroBitCount == 1)
        self.vendorID = vendorID
        self.deviceID = deviceID
        classAndRevision = classCode << 8 | UInt32(revision)
        self.barByteCount = UInt32(barByteCount)
    }

    /// Whether the card answers in memory space; if not, its registers read as all ones, and writes are lost.
    public var answersInMemorySpace: Bool { command.load(ordering: .relaxed) & Self.memorySpace != 0 }

    /// Reads 4 bytes.
    /// - Parameter offset: a multiple of 4, below `byteCount`.
    public func read(_ offset: Int) -> UInt32 {
        let identity = UInt32(vendorID) | UInt32(deviceID) << 16
        return switch offset {
        case 0x00, 0x2C: identity
        case Self.commandOffset: command.load(ordering: .relaxed)
        case 0x08: classAndRevision
        case Self.barOffset: bar.load(ordering: .relaxed)
        // Interrupt pin A, line 0.
        case Self.interruptOffset: 1 << 8
        default: 0
        }
    }

    /// Writes those of 4 bytes that a mask selects. Bits that no card has to keep are ignored.
    public func write(_ offset: Int, _ value: UInt32, mask: UInt32) {
        switch offset {
        case Self.commandOffset:
            let bits = mask & (Self.memorySpace | Self.busMaster | Self.interruptDisable)
            command.bitwiseAnd(~bits, ordering: .relaxed)
            command.bitwiseOr(value & bits, ordering: .relaxed)
        // All ones make a BAR show its size (PCI Local Bus 3.0, 6.2.5.1).
        case Self.barOffset where mask == .max: bar.store(value & ~(barByteCount - 1), ordering: .relaxed)
        default: break
        }
    }

    /// The state after a reset of the machine, whose firmware has set the card up.
    public func reset() {
        command.store(Self.memorySpace | Self.busMaster, ordering: .relaxed)
        bar.store(Self.barAddress, ordering: .relaxed)
    }
}
