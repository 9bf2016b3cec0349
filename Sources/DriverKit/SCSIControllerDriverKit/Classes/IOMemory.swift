// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import Glibc
import HardwareBus
import Platform
import Synchronization

/// The device may write the memory.
public let kIOMemoryDirectionIn: UInt64 = 1
/// The device may read the memory.
public let kIOMemoryDirectionOut: UInt64 = 2
/// The device may read and write the memory.
public let kIOMemoryDirectionInOut: UInt64 = 3

/// Memory that a driver has allocated or that the kernel has handed to it.
public final class IOBufferMemoryDescriptor: OSObject, @unchecked Sendable {
    // SAFETY: only `length` changes, an atomic; the driver orders its accesses to the memory itself.
    /// The whole memory in this process.
    package let memory: UnsafeMutableRawBufferPointer
    /// The memory's number where the driver is a process of its own; else 0.
    package let sharedID: UInt64
    // SAFETY: never changes.
    /// The allocation that the memory lies in; nil for somebody else's memory.
    private nonisolated(unsafe) let block: UnsafeMutableRawPointer?
    /// The descriptor that this one is a part of, and where.
    private let whole: (descriptor: IOBufferMemoryDescriptor, offset: Int)?
    private let length: Atomic<Int>

    private init(
        _ memory: UnsafeMutableRawBufferPointer, sharedID: UInt64 = 0, block: UnsafeMutableRawPointer? = nil,
        whole: (descriptor: IOBufferMemoryDescriptor, offset: Int)? = nil, ownedByKernel: Bool = false
    ) {
        self.memory = memory
        self.sharedID = sharedID
        self.block = block
        self.whole = whole
        length = Atomic(memory.count)
        super.init(ownedByKernel: ownedByKernel)
    }

    /// Wraps memory that the kernel half keeps alive.
    package convenience init(borrowing memory: UnsafeMutableRawBufferPointer) {
        self.init(memory, ownedByKernel: true)
    }

    /// Wraps memory that this process shares with the kernel's. The mapping stays as long as this process.
    convenience init(shared memory: UnsafeMutableRawBufferPointer, id: UInt64) { self.init(memory, sharedID: id) }

    /// Pages that nobody has touched yet cost nothing: calloc(3) takes large blocks from the system, zeroed.
    private convenience init?(byteCount: Int, alignment: Int) {
        guard let block = calloc(1, byteCount + alignment) else { return nil }
        let start = UnsafeMutableRawPointer(
            bitPattern: (UInt(bitPattern: block) + UInt(alignment) - 1) & ~(UInt(alignment) - 1))
        self.init(UnsafeMutableRawBufferPointer(start: start, count: byteCount), block: block)
    }

    deinit {
        whole?.descriptor.release()
        free(block)
    }

    /// The most bytes that a driver in a process of its own may share with a card. Larger memory is the process's own,
    /// and cannot be prepared for DMA there.
    package static let shareableByteCountMax: UInt64 = 64 << 20

    /// Allocates zeroed memory.
    /// - Parameters:
    ///   - options: kIOMemoryDirectionIn, kIOMemoryDirectionOut or both; ignored here.
    ///   - capacity: bytes.
    ///   - alignment: bytes, a power of two; 0 means 16.
    ///   - memory: receives the descriptor, with a reference for the caller.
    public static func Create(
        _ options: UInt64, _ capacity: UInt64, _ alignment: UInt64, _ memory: inout IOBufferMemoryDescriptor?
    ) -> kern_return_t {
        guard capacity > 0, capacity <= 1 << 30, alignment <= 1 << 30, alignment.nonzeroBitCount <= 1 else {
            return kIOReturnBadArgument
        }
        if capacity <= shareableByteCountMax, let allocate = DriverContext.ofCaller?.allocateShared {
            memory = allocate(Int(capacity))
            return memory == nil ? kIOReturnNoMemory : kIOReturnSuccess
        }
        memory = IOBufferMemoryDescriptor(byteCount: Int(capacity), alignment: max(Int(alignment), 16))
        return memory == nil ? kIOReturnNoMemory : kIOReturnSuccess
    }

    /// Makes a descriptor of a part of another one, which it retains.
    /// - Parameters:
    ///   - options: as for `Create`.
    ///   - offset, length: the part, bytes.
    ///   - memory: receives the descriptor, with a reference for the caller.
    public static func CreateSubMemoryDescriptor(
        _ options: UInt64, _ offset: UInt64, _ length: UInt64, _ ofDescriptor: IOBufferMemoryDescriptor,
        _ memory: inout IOBufferMemoryDescriptor?
    ) -> kern_return_t {
        guard let range = ofDescriptor.range(offset, length), !range.isEmpty else { return kIOReturnBadArgument }
        ofDescriptor.retain()
        memory = IOBufferMemoryDescriptor(
            UnsafeMutableRawBufferPointer(rebasing: ofDescriptor.memory[range]), sharedID: ofDescriptor.sharedID,
            whole: (ofDescriptor, range.lowerBound))
        return kIOReturnSuccess
    }

    /// The bytes in use: all, unless `SetLength` was called.
    public func GetLength(_ returnLength: inout UInt64) -> kern_return_t {
        returnLength = UInt64(length.load(ordering: .relaxed))
        return kIOReturnSuccess
    }

    /// Says how many bytes are in use, at most as many as were allocated.
    public func SetLength(_ length: UInt64) -> kern_return_t {
        guard length <= UInt64(memory.count) else { return kIOReturnBadArgument }
        self.length.store(Int(length), ordering: .relaxed)
        return kIOReturnSuccess
    }

    /// The memory in this process, without a map: the bytes in use. Valid as long as the descriptor.
    public func GetAddressRange(_ range: inout IOAddressSegment) -> kern_return_t {
        range = IOAddressSegment(
            address: UInt64(UInt(bitPattern: memory.baseAddress!)), length: UInt64(length.load(ordering: .relaxed)))
        return kIOReturnSuccess
    }

    /// Maps the memory into the driver. All numbers are 0 for the whole descriptor.
    public func CreateMapping(
        _ options: UInt64, _ address: UInt64, _ offset: UInt64, _ length: UInt64, _ alignment: UInt64,
        _ map: inout IOMemoryMap?
    ) -> kern_return_t {
        guard let range = range(offset, length) else { return kIOReturnBadArgument }
        map = IOMemoryMap(descriptor: self, range: range)
        return kIOReturnSuccess
    }

    /// A part of the bytes in use; nil when they are fewer. A length of 0 means the rest.
    func range(_ offset: UInt64, _ length: UInt64) -> Range<Int>? {
        let all = UInt64(self.length.load(ordering: .relaxed))
        guard offset <= all, length <= all - offset else { return nil }
        return Int(offset)..<Int(length == 0 ? all : offset + length)
    }

    /// The memory that the device can be given, of which this is a part, and the part's offset.
    fileprivate var outermost: (descriptor: IOBufferMemoryDescriptor, offset: Int) {
        guard let whole else { return (self, 0) }
        let outer = whole.descriptor.outermost
        return (outer.descriptor, outer.offset + whole.offset)
    }
}

/// A descriptor's memory in the driver's address space.
public final class IOMemoryMap: OSObject, @unchecked Sendable {
    // SAFETY: nothing changes after `init`.
    private let descriptor: IOBufferMemoryDescriptor
    private let range: Range<Int>

    init(descriptor: IOBufferMemoryDescriptor, range: Range<Int>) {
        self.descriptor = descriptor
        self.range = range
        super.init()
    }

    /// The first byte's address, valid while the descriptor and the map live. 0 and a report when the descriptor has
    /// been released, since a map does not keep it.
    public func GetAddress() -> UInt64 {
        guard descriptor.retainCount > 0 else {
            DriverContext.report(
                .slotAddressIsNull,
                "GetAddress was called in \(DriverContext.currentCall), after the descriptor was let go; it returned 0")
            return 0
        }
        return UInt64(UInt(bitPattern: descriptor.memory.baseAddress! + range.lowerBound))
    }

    /// Bytes.
    public func GetLength() -> UInt64 { UInt64(range.count) }

    /// The map's place in the descriptor, bytes.
    public func GetOffset() -> UInt64 { UInt64(range.lowerBound) }
}

/// A bus address range.
public struct IOAddressSegment: Sendable {
    /// The first byte: on the device's bus, or in the driver's memory.
    public var address: UInt64
    /// Bytes.
    public var length: UInt64

    /// Makes a range of bytes.
    /// - Parameters:
    ///   - address: the first byte.
    ///   - length: bytes.
    public init(address: UInt64, length: UInt64) {
        self.address = address
        self.length = length
    }
}

/// What a device can do with memory.
public struct IODMACommandSpecification: Sendable {
    /// No options exist: 0.
    public var options: UInt64
    /// Bits in a bus address of the device.
    public var maxAddressBits: UInt64

    /// Describes a device whose bus addresses have so many bits.
    public init(options: UInt64 = 0, maxAddressBits: UInt64) {
        self.options = options
        self.maxAddressBits = maxAddressBits
    }
}

/// Prepares a driver's own memory (rings, tables) for access by its device.
public final class IODMACommand: OSObject, @unchecked Sendable {
    // SAFETY: what changes is under `lock`.
    private let device: IOPCIDevice
    private let window: Int
    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var prepared: (memory: IOBufferMemoryDescriptor, range: Range<Int>)?

    private init(device: IOPCIDevice, window: Int) {
        self.device = device
        self.window = window
        super.init()
    }

    /// Makes a command for a device. Fails with kIOReturnNoResources when the DART has no window left.
    public static func Create(
        _ device: IOPCIDevice, _ options: UInt64, _ specification: IODMACommandSpecification,
        _ command: inout IODMACommand?
    ) -> kern_return_t {
        guard (1...64).contains(specification.maxAddressBits) else { return kIOReturnBadArgument }
        guard let window = device.function.claimDMAWindow() else { return kIOReturnNoResources }
        command = IODMACommand(device: device, window: window)
        return kIOReturnSuccess
    }

    /// Maps memory for the device, always as one segment, since the DART joins pages. It retains the memory. Fails with
    /// kIOReturnNoResources while the device still works on the command's former memory.
    /// - Parameters:
    ///   - options: 0.
    ///   - offset, length: the part of the memory, bytes; a length of 0 means the rest.
    ///   - flags: receives the directions, `kIOMemoryDirectionInOut`.
    ///   - segmentsCount: in: the room in `segments`; out: 1.
    ///   - segments: receives the bus address and the length.
    public func PrepareForDMA(
        _ options: UInt64, _ memory: IOBufferMemoryDescriptor, _ offset: UInt64, _ length: UInt64,
        _ flags: inout UInt64, _ segmentsCount: inout UInt32, _ segments: UnsafeMutablePointer<IOAddressSegment>
    ) -> kern_return_t {
        guard segmentsCount >= 1, let range = memory.range(offset, length) else { return kIOReturnBadArgument }
        let whole = memory.outermost
        guard
            let address = device.function.mapDMA(
                window: window, memory: whole.descriptor.memory, owner: whole.descriptor,
                sharedID: whole.descriptor.sharedID)
        else { return kIOReturnNoResources }
        memory.retain()
        replacePrepared((memory, range))
        flags = kIOMemoryDirectionInOut
        segmentsCount = 1
        segments.pointee = IOAddressSegment(
            address: address + UInt64(whole.offset + range.lowerBound), length: UInt64(range.count))
        return kIOReturnSuccess
    }

    /// Ends the device's access.
    public func CompleteDMA(_ options: UInt64) -> kern_return_t {
        device.function.unmapDMA(window: window)
        replacePrepared(nil)
        return kIOReturnSuccess
    }

    /// The memory that was prepared last, with a reference for the caller. Fails with kIOReturnNotReady if none is.
    public func GetPreparation(
        _ offset: inout UInt64, _ length: inout UInt64, _ memory: inout IOBufferMemoryDescriptor?
    ) -> kern_return_t {
        lock.withLock {
            guard let prepared else { return kIOReturnNotReady }
            offset = UInt64(prepared.range.lowerBound)
            length = UInt64(prepared.range.count)
            prepared.memory.retain()
            memory = prepared.memory
            return kIOReturnSuccess
        }
    }

    private func replacePrepared(_ new: (memory: IOBufferMemoryDescriptor, range: Range<Int>)?) {
        let old = lock.withLock {
            defer { prepared = new }
            return prepared
        }
        old?.memory.release()
    }
}
