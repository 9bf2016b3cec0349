import CDextABI
import Glibc
import SCSIControllerDriverKit

/// The functions of the table for memory and the card.
enum DeviceTable {
    // MARK: Memory

    static func addMemory(to table: HostTable.Table) {
        table.pointee.memory_create = { options, capacity, alignment, skin, result in
            var memory: IOBufferMemoryDescriptor?
            let status = IOBufferMemoryDescriptor.Create(options, capacity, alignment, &memory)
            return HostTable.give(memory, skin, result, status)
        }
        table.pointee.memory_range = { memory, range in
            guard let memory = object(memory, as: IOBufferMemoryDescriptor.self), let range else {
                return kIOReturnBadArgument
            }
            var segment = IOAddressSegment(address: 0, length: 0)
            let status = memory.GetAddressRange(&segment)
            range.pointee = nbdext_segment(address: segment.address, length: segment.length)
            return status
        }
        table.pointee.memory_set_length = { memory, length in
            object(memory, as: IOBufferMemoryDescriptor.self)?.SetLength(length) ?? kIOReturnBadArgument
        }
        table.pointee.memory_part = { memory, options, offset, length, skin, result in
            guard let memory = object(memory, as: IOBufferMemoryDescriptor.self) else { return kIOReturnBadArgument }
            var part: IOBufferMemoryDescriptor?
            let status = IOBufferMemoryDescriptor.CreateSubMemoryDescriptor(options, offset, length, memory, &part)
            return HostTable.give(part, skin, result, status)
        }
        table.pointee.map_create = { memory, options, address, offset, length, alignment, skin, result in
            guard let memory = object(memory, as: IOBufferMemoryDescriptor.self) else { return kIOReturnBadArgument }
            var map: IOMemoryMap?
            let status = memory.CreateMapping(options, address, offset, length, alignment, &map)
            return HostTable.give(map, skin, result, status)
        }
        table.pointee.map_range = { map, range, offset in
            guard let map = object(map, as: IOMemoryMap.self) else { return }
            range?.pointee = nbdext_segment(address: map.GetAddress(), length: map.GetLength())
            offset?.pointee = map.GetOffset()
        }
    }

    // MARK: DMA

    static func addDMA(to table: HostTable.Table) {
        table.pointee.dma_create = { device, options, bits, skin, result in
            guard let device = object(device, as: IOPCIDevice.self) else { return kIOReturnUnsupported }
            var command: IODMACommand?
            let status = IODMACommand.Create(
                device, options, IODMACommandSpecification(maxAddressBits: bits), &command)
            return HostTable.give(command, skin, result, status)
        }
        table.pointee.dma_prepare = { command, options, memory, offset, length, flags, count, segments in
            guard let command = object(command, as: IODMACommand.self),
                let memory = object(memory, as: IOBufferMemoryDescriptor.self), let count, let segments
            else { return kIOReturnBadArgument }
            var segment = IOAddressSegment(address: 0, length: 0)
            var direction: UInt64 = 0
            let status = command.PrepareForDMA(
                options, memory, offset, length, &direction, &count.pointee, &segment)
            guard status == kIOReturnSuccess else { return status }
            flags?.pointee = direction
            segments.pointee = nbdext_segment(address: segment.address, length: segment.length)
            return status
        }
        table.pointee.dma_complete = { command, options in
            object(command, as: IODMACommand.self)?.CompleteDMA(options) ?? kIOReturnBadArgument
        }
        table.pointee.dma_preparation = { command, offset, length, result in
            guard let command = object(command, as: IODMACommand.self), let offset, let length else {
                return kIOReturnBadArgument
            }
            var memory: IOBufferMemoryDescriptor?
            let status = command.GetPreparation(&offset.pointee, &length.pointee, &memory)
            return HostTable.give(memory, nil, result, status)
        }
        table.pointee.dma_perform = { command, options, dmaOffset, length, dataOffset, data in
            guard let command = object(command, as: IODMACommand.self),
                let data = object(data, as: IOBufferMemoryDescriptor.self)
            else { return kIOReturnBadArgument }
            return DeviceTable.perform(options, command, dmaOffset, length, dataOffset, data)
        }
    }

    /// PerformOperation: 1 reads the prepared memory into the data, 2 writes it from there, 4 zeroes it.
    private static func perform(
        _ options: UInt64, _ command: IODMACommand, _ dmaOffset: UInt64, _ length: UInt64, _ dataOffset: UInt64,
        _ data: IOBufferMemoryDescriptor
    ) -> kern_return_t {
        var (offset, prepared): (UInt64, UInt64) = (0, 0)
        var memory: IOBufferMemoryDescriptor?
        let status = command.GetPreparation(&offset, &prepared, &memory)
        guard status == kIOReturnSuccess, let memory else { return status }
        defer { giveBack(memory) }
        guard dmaOffset <= prepared, length <= prepared - dmaOffset, dataOffset <= UInt64(data.memory.count),
            length <= UInt64(data.memory.count) - dataOffset
        else { return kIOReturnBadArgument }
        let device = memory.memory.baseAddress! + Int(offset + dmaOffset)
        let other = data.memory.baseAddress! + Int(dataOffset)
        switch options {
        case 1: memmove(other, device, Int(length))
        case 2: memmove(device, other, Int(length))
        case 4: memset(device, 0, Int(length))
        default: return kIOReturnBadArgument
        }
        return kIOReturnSuccess
    }
}
