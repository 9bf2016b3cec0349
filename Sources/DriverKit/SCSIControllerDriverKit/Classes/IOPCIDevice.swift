// swift-format-ignore-file: AlwaysUseLowerCamelCase

import HardwareBus
import Platform

/// A BAR of 32 bits that is memory.
public let kPCIBARTypeM32: UInt8 = 0x00

/// The byte offset of the vendor's number in configuration space, 16 bits (PCI Local Bus 3.0, 6.1).
public let kIOPCIConfigurationOffsetVendorID: UInt64 = 0x00
/// The byte offset of the device's number, 16 bits.
public let kIOPCIConfigurationOffsetDeviceID: UInt64 = 0x02
/// The byte offset of the command register, 16 bits.
public let kIOPCIConfigurationOffsetCommand: UInt64 = 0x04
/// The byte offset of the status register, 16 bits.
public let kIOPCIConfigurationOffsetStatus: UInt64 = 0x06
/// The byte offset of the revision, 8 bits.
public let kIOPCIConfigurationOffsetRevisionID: UInt64 = 0x08
/// The byte offset of the class code, 24 bits.
public let kIOPCIConfigurationOffsetClassCode: UInt64 = 0x09
/// The byte offset of BAR 0.
public let kIOPCIConfigurationOffsetBaseAddress0: UInt64 = 0x10
/// The bit of the command register that lets the device answer in memory space.
public let kIOPCICommandMemorySpace: UInt16 = 0x0002
/// The bit of the command register that lets the device use memory.
public let kIOPCICommandBusMaster: UInt16 = 0x0004

/// The PCI function that a driver's personality matched: its registers, its configuration space, and the bus for its
/// DMA.
///
/// The cards here have registers of 32 bits. Accesses of other sizes are made of those.
public final class IOPCIDevice: IOService, @unchecked Sendable {
    // SAFETY: what changes is under `clientLock`.
    /// The card, or its stand-in in a driver's process.
    package let function: PCIFunction
    private let clientLock = Lock()
    // SAFETY: touched only under `clientLock`.
    private nonisolated(unsafe) weak var client: IOService?

    /// Makes the node of a card.
    package init(function: PCIFunction) { self.function = function }

    // MARK: Sessions

    /// Begins a client's session. There is one at a time.
    public func Open(_ forClient: IOService, _ options: UInt64 = 0) -> kern_return_t {
        clientLock.withLock {
            guard client == nil || client === forClient else { return kIOReturnExclusiveAccess }
            client = forClient
            return kIOReturnSuccess
        }
    }

    /// Ends a client's session. The device then neither answers in memory space nor uses memory, until the command
    /// register lets it.
    public func Close(_ forClient: IOService, _ options: UInt64 = 0) {
        let wasOpen = clientLock.withLock {
            guard client === forClient else { return false }
            client = nil
            return true
        }
        guard wasOpen else { return }
        var command: UInt16 = 0
        ConfigurationRead16(kIOPCIConfigurationOffsetCommand, &command)
        guard command != .max else { return }
        ConfigurationWrite16(
            kIOPCIConfigurationOffsetCommand, command & ~(kIOPCICommandMemorySpace | kIOPCICommandBusMaster))
    }

    // MARK: Registers

    /// Where a BAR is. Only BAR 0 exists.
    /// - Parameters:
    ///   - memoryIndex: the index for `MemoryRead32` and the others.
    ///   - barSize: bytes.
    ///   - barType: `kPCIBARTypeM32`.
    public func GetBARInfo(
        _ barIndex: UInt8, _ memoryIndex: inout UInt8, _ barSize: inout UInt64, _ barType: inout UInt8
    ) -> kern_return_t {
        let byteCount = barIndex == 0 ? function.registerByteCount : 0
        guard byteCount > 0 else { return kIOReturnNoResources }
        memoryIndex = 0
        barSize = UInt64(byteCount)
        barType = kPCIBARTypeM32
        return kIOReturnSuccess
    }

    /// Reads 1 byte of a BAR; only BAR 0 exists.
    public func MemoryRead8(_ memoryIndex: UInt8, _ offset: UInt64, _ value: inout UInt8) {
        value = UInt8(truncatingIfNeeded: word(memoryIndex, offset) >> Self.shift(offset))
    }

    /// Reads 2 bytes of a BAR, at an even offset.
    public func MemoryRead16(_ memoryIndex: UInt8, _ offset: UInt64, _ value: inout UInt16) {
        value = UInt16(truncatingIfNeeded: word(memoryIndex, offset) >> Self.shift(offset & ~1))
    }

    /// Reads 4 bytes of a BAR; only BAR 0 exists.
    public func MemoryRead32(_ memoryIndex: UInt8, _ offset: UInt64, _ value: inout UInt32) {
        value = memoryIndex == 0 ? function.readRegister(Int(truncatingIfNeeded: offset)) : .max
    }

    /// Reads 8 bytes of a BAR, the lower register first.
    public func MemoryRead64(_ memoryIndex: UInt8, _ offset: UInt64, _ value: inout UInt64) {
        let low = UInt64(word(memoryIndex, offset))
        value = low | UInt64(word(memoryIndex, offset &+ 4)) << 32
    }

    /// Writes 1 byte of a BAR: the register is read and written back with the byte.
    public func MemoryWrite8(_ memoryIndex: UInt8, _ offset: UInt64, _ value: UInt8) {
        merge(memoryIndex, offset, UInt32(value), mask: 0xFF)
    }

    /// Writes 2 bytes of a BAR, at an even offset: the register is read and written back with them.
    public func MemoryWrite16(_ memoryIndex: UInt8, _ offset: UInt64, _ value: UInt16) {
        merge(memoryIndex, offset & ~1, UInt32(value), mask: 0xFFFF)
    }

    /// Writes 4 bytes of a BAR.
    public func MemoryWrite32(_ memoryIndex: UInt8, _ offset: UInt64, _ value: UInt32) {
        if memoryIndex == 0 { function.writeRegister(Int(truncatingIfNeeded: offset), value) }
    }

    /// Writes 8 bytes of a BAR, the lower register first.
    public func MemoryWrite64(_ memoryIndex: UInt8, _ offset: UInt64, _ value: UInt64) {
        MemoryWrite32(memoryIndex, offset, UInt32(truncatingIfNeeded: value))
        MemoryWrite32(memoryIndex, offset &+ 4, UInt32(truncatingIfNeeded: value >> 32))
    }

    /// The register that an offset lies in.
    private func word(_ memoryIndex: UInt8, _ offset: UInt64) -> UInt32 {
        memoryIndex == 0 ? function.readRegister(Int(truncatingIfNeeded: offset & ~3)) : .max
    }

    private func merge(_ memoryIndex: UInt8, _ offset: UInt64, _ value: UInt32, mask: UInt32) {
        let shift = Self.shift(offset)
        MemoryWrite32(memoryIndex, offset & ~3, word(memoryIndex, offset) & ~(mask << shift) | value << shift)
    }

    private static func shift(_ offset: UInt64) -> UInt32 { UInt32(offset & 3) * 8 }

    // MARK: Configuration space

    /// Reads 1 byte of the configuration space; all ones where the card has none.
    public func ConfigurationRead8(_ offset: UInt64, _ value: inout UInt8) {
        value = UInt8(truncatingIfNeeded: configuration(offset) >> Self.shift(offset))
    }

    /// Reads 2 bytes of the configuration space, at an even offset; all ones where the card has none.
    public func ConfigurationRead16(_ offset: UInt64, _ value: inout UInt16) {
        value = UInt16(truncatingIfNeeded: configuration(offset) >> Self.shift(offset & ~1))
    }

    /// Reads 4 bytes of the configuration space, at a multiple of 4; all ones where the card has none.
    public func ConfigurationRead32(_ offset: UInt64, _ value: inout UInt32) { value = configuration(offset) }

    /// Writes 1 byte of the configuration space.
    public func ConfigurationWrite8(_ offset: UInt64, _ value: UInt8) {
        configure(offset, UInt32(value), mask: 0xFF)
    }

    /// Writes 2 bytes of the configuration space, at an even offset.
    public func ConfigurationWrite16(_ offset: UInt64, _ value: UInt16) {
        configure(offset & ~1, UInt32(value), mask: 0xFFFF)
    }

    /// Writes 4 bytes of the configuration space, at a multiple of 4.
    public func ConfigurationWrite32(_ offset: UInt64, _ value: UInt32) { configure(offset & ~3, value, mask: .max) }

    private func configuration(_ offset: UInt64) -> UInt32 {
        offset < PCIConfigurationSpace.byteCount ? function.readConfiguration(Int(offset & ~3)) : .max
    }

    private func configure(_ offset: UInt64, _ value: UInt32, mask: UInt32) {
        guard offset < PCIConfigurationSpace.byteCount else { return }
        let shift = Self.shift(offset)
        function.writeConfiguration(Int(offset & ~3), value << shift, mask: mask << shift)
    }
}
