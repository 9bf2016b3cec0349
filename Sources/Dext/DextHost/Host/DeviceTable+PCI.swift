import CDextABI
import SCSIControllerDriverKit

extension DeviceTable {
    static func addPCI(to table: HostTable.Table) {
        table.pointee.pci_open = { device, client, options in
            guard let device = object(device, as: IOPCIDevice.self), let client = object(client, as: IOService.self)
            else { return kIOReturnBadArgument }
            return device.Open(client, UInt64(options))
        }
        table.pointee.pci_close = { device, client, options in
            guard let device = object(device, as: IOPCIDevice.self), let client = object(client, as: IOService.self)
            else { return }
            device.Close(client, UInt64(options))
        }
        table.pointee.pci_memory_read = { device, index, offset, width in
            object(device, as: IOPCIDevice.self).map { DeviceTable.read($0, index, offset, width) } ?? .max
        }
        table.pointee.pci_memory_write = { device, index, offset, width, value in
            guard let device = object(device, as: IOPCIDevice.self) else { return }
            DeviceTable.write(device, index, offset, width, value)
        }
        table.pointee.pci_configuration_read = { device, offset, width in
            object(device, as: IOPCIDevice.self).map { DeviceTable.readConfiguration($0, offset, width) } ?? .max
        }
        table.pointee.pci_configuration_write = { device, offset, width, value in
            guard let device = object(device, as: IOPCIDevice.self) else { return }
            switch width {
            case 1: device.ConfigurationWrite8(offset, UInt8(truncatingIfNeeded: value))
            case 2: device.ConfigurationWrite16(offset, UInt16(truncatingIfNeeded: value))
            case 4: device.ConfigurationWrite32(offset, value)
            default: break
            }
        }
        table.pointee.pci_bar = { device, bar, index, size, type in
            guard let device = object(device, as: IOPCIDevice.self), let index, let size, let type else {
                return kIOReturnBadArgument
            }
            return device.GetBARInfo(bar, &index.pointee, &size.pointee, &type.pointee)
        }
        table.pointee.pci_location = { device, bus, number, function in
            guard object(device, as: IOPCIDevice.self) != nil else { return kIOReturnBadArgument }
            // The one card of the machine.
            bus?.pointee = 1
            number?.pointee = 0
            function?.pointee = 0
            return kIOReturnSuccess
        }
        // The cards have no capabilities.
        table.pointee.pci_find_capability = { _, _, _, _ in kIOReturnNotFound }
        table.pointee.pci_configure_interrupts = { device, _, required, _, _ in
            object(device, as: IOPCIDevice.self) != nil && required <= 1 ? kIOReturnSuccess : kIOReturnUnsupported
        }
        table.pointee.pci_reset = { _, _, _ in kIOReturnUnsupported }
    }

    private static func read(_ device: IOPCIDevice, _ index: UInt8, _ offset: UInt64, _ width: UInt32) -> UInt64 {
        switch width {
        case 1:
            var value: UInt8 = 0
            device.MemoryRead8(index, offset, &value)
            return UInt64(value)
        case 2:
            var value: UInt16 = 0
            device.MemoryRead16(index, offset, &value)
            return UInt64(value)
        case 4:
            var value: UInt32 = 0
            device.MemoryRead32(index, offset, &value)
            return UInt64(value)
        default:
            var value: UInt64 = .max
            if width == 8 { device.MemoryRead64(index, offset, &value) }
            return value
        }
    }

    private static func write(
        _ device: IOPCIDevice, _ index: UInt8, _ offset: UInt64, _ width: UInt32, _ value: UInt64
    ) {
        switch width {
        case 1: device.MemoryWrite8(index, offset, UInt8(truncatingIfNeeded: value))
        case 2: device.MemoryWrite16(index, offset, UInt16(truncatingIfNeeded: value))
        case 4: device.MemoryWrite32(index, offset, UInt32(truncatingIfNeeded: value))
        case 8: device.MemoryWrite64(index, offset, value)
        default: break
        }
    }

    private static func readConfiguration(_ device: IOPCIDevice, _ offset: UInt64, _ width: UInt32) -> UInt32 {
        switch width {
        case 1:
            var value: UInt8 = 0
            device.ConfigurationRead8(offset, &value)
            return UInt32(value)
        case 2:
            var value: UInt16 = 0
            device.ConfigurationRead16(offset, &value)
            return UInt32(value)
        default:
            var value: UInt32 = .max
            if width == 4 { device.ConfigurationRead32(offset, &value) }
            return value
        }
    }
}
