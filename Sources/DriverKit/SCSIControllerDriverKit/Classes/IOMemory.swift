// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import HardwareBus
import Platform

/// Memory that a driver has allocated or that the kernel has handed to it.
public final class IOBufferMemoryDescriptor: OSObject, @unchecked Sendable {
    // SAFETY: nothing changes after `init`; the driver orders its accesses to the memory itself.
    /// The memory in this process.
    package let memory: UnsafeMutableRawBufferPointer
    /// The memory's number where the driver is a process of its own; else 0.
    package let sharedID: UInt64
    private let ownsMemory: Bool

    /// Wraps memory that the kernel half keeps alive.
    package init(borrowing memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
        sharedID = 0
        ownsMemory = false
        super.init(ownedByKernel: true)
    }

    /// Wraps memory that this process shares with the kernel's. The mapping stays as long as this process.
    init(shared memory: UnsafeMutableRawBufferPointer, id: UInt64) {
        self.memory = memory
        sharedID = id
        ownsMemory = false
        super.init()
    }

    private init(byteCount: Int, alignment: Int) {
        memory = .allocate(byteCount: byteCount, alignment: alignment)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        sharedID = 0
        ownsMemory = true
        super.init()
    }

    deinit { if ownsMemory { memory.deallocate() } }

    /// Allocates zeroed memory.
    /// - Parameters:
    ///   - options: kIOMemoryDirectionIn, kIOMemoryDirectionOut or both; ignored here.
    ///   - capacity: bytes.
    ///   - alignment: bytes, a power of two; 0 means 16.
    ///   - memory: receives the descriptor, with a reference for the caller.
    public static func Create(
        _ options: UInt64, _ capacity: UInt64, _ alignment: UInt64, _ memory: inout IOBufferMemoryDescriptor?
    ) -> kern_return_t {
        guard capacity > 0, capacity <= 1 << 30 else { return kIOReturnBadArgument }
        if let allocate = DriverContext.current?.allocateShared {
            memory = allocate(Int(capacity))
            return memory == nil ? kIOReturnNoMemory : kIOReturnSuccess
        }
        memory = IOBufferMemoryDescriptor(byteCount: Int(capacity), alignment: max(Int(alignment), 16))
        return kIOReturnSuccess
    }

    /// Maps the memory into the driver. All numbers are 0 for the whole descriptor.
    public func CreateMapping(
        _ options: UInt64, _ address: UInt64, _ offset: UInt64, _ length: UInt64, _ alignment: UInt64,
        _ map: inout IOMemoryMap?
    ) -> kern_return_t {
        guard offset <= UInt64(memory.count), length <= UInt64(memory.count) - offset else {
            return kIOReturnBadArgument
        }
        map = IOMemoryMap(descriptor: self, offset: Int(offset), length: length == 0 ? nil : Int(length))
        return kIOReturnSuccess
    }
}

/// A descriptor's memory in the driver's address space.
public final class IOMemoryMap: OSObject, @unchecked Sendable {
    // SAFETY: nothing changes after `init`.
    private let descriptor: IOBufferMemoryDescriptor
    private let offset: Int
    private let length: Int

    init(descriptor: IOBufferMemoryDescriptor, offset: Int, length: Int?) {
        self.descriptor = descriptor
        self.offset = offset
        self.length = length ?? descriptor.memory.count - offset
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
        return UInt64(UInt(bitPattern: descriptor.memory.baseAddress! + offset))
    }

    /// Bytes.
    public func GetLength() -> UInt64 { UInt64(length) }
}

/// A bus address range.
public struct IOAddressSegment: Sendable {
    /// The first byte, on the device's bus.
    public var address: UInt64
    /// Bytes.
    public var length: UInt64

    /// Makes a range of bytes.
    /// - Parameters:
    ///   - address: the first byte, on the device's bus.
    ///   - length: bytes.
    public init(address: UInt64, length: UInt64) {
        self.address = address
        self.length = length
    }
}

/// Prepares a driver's own memory (rings, tables) for access by its device.
public final class IODMACommand: OSObject, @unchecked Sendable {
    // SAFETY: nothing changes after `init`.
    private let device: IOPCIDevice
    private let window: Int

    private init(device: IOPCIDevice, window: Int) {
        self.device = device
        self.window = window
        super.init()
    }

    /// Makes a command for a device. Fails with kIOReturnNoResources when the DART has no window left.
    public static func Create(
        _ device: IOPCIDevice, _ options: UInt64, _ command: inout IODMACommand?
    ) -> kern_return_t {
        guard let window = device.function.claimDMAWindow() else { return kIOReturnNoResources }
        command = IODMACommand(device: device, window: window)
        return kIOReturnSuccess
    }

    /// Maps the whole descriptor for the device, always as one segment, since the DART joins pages. Fails with
    /// kIOReturnNoResources while the device still works on the command's former memory.
    public func PrepareForDMA(
        _ options: UInt64, _ memory: IOBufferMemoryDescriptor, _ segment: inout IOAddressSegment
    ) -> kern_return_t {
        guard
            let address = device.function.mapDMA(
                window: window, memory: memory.memory, owner: memory, sharedID: memory.sharedID)
        else { return kIOReturnNoResources }
        segment = IOAddressSegment(address: address, length: UInt64(memory.memory.count))
        return kIOReturnSuccess
    }

    /// Ends the device's access.
    public func CompleteDMA(_ options: UInt64) -> kern_return_t {
        device.function.unmapDMA(window: window)
        return kIOReturnSuccess
    }
}
