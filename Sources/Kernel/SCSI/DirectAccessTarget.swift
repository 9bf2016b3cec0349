/// The work that a command asks of its target. Addresses and counts are logical blocks, and lie inside the medium.
package enum TargetAction: BitwiseCopyable, Sendable {
    /// Nothing is left to do; the status is GOOD.
    case good
    /// The data-in is already written, `byteCount` bytes of it; the status is GOOD.
    case respond(byteCount: Int)
    /// The command is refused with this sense data.
    case checkCondition(SenseData)
    case read(lba: UInt64, blockCount: UInt64)
    case write(lba: UInt64, blockCount: UInt64, forceUnitAccess: Bool)
    case synchronizeCache
    /// Make the range read as zeros; `mayUnmap` allows its deallocation.
    case zero(lba: UInt64, blockCount: UInt64, mayUnmap: Bool)
    /// Read the range and report unreadable blocks; `comparesData` also compares it with the data-out.
    case verify(lba: UInt64, blockCount: UInt64, comparesData: Bool)
}

/// The command set of a direct access block device (SBC-3): takes a CDB and answers with the work to do.
///
/// It keeps no state and does no I/O. Every possible CDB gets an answer; a refusal carries the sense data that the
/// standards ask for. It is a class so that a command does not copy the strings of its traits.
package final class DirectAccessTarget: Sendable {
    /// The device's size, limits and names.
    package let traits: DiskTraits

    package init(traits: DiskTraits) { self.traits = traits }

    /// Decodes a command.
    ///
    /// - Parameters:
    ///   - cdb: the command, unchecked.
    ///   - logicalUnit: the one that the command names; the target need not have it.
    ///   - data: the command's memory. Data-in is written there; an UNMAP parameter list is read from there.
    package func action(
        for cdb: CommandDescriptorBlock, logicalUnit: UInt8, data: UnsafeMutableRawBufferPointer
    ) -> TargetAction {
        if logicalUnit >= traits.unitCount { return actionForAbsentUnit(cdb, data) }
        switch cdb.operationCode {
        case .read10, .read16, .read6, .read12: return transfer(cdb, isWrite: false, data)
        case .write10, .write16, .write6, .write12: return transfer(cdb, isWrite: true, data)
        case .synchronizeCache10, .synchronizeCache16: return synchronize(cdb)
        case .unmap: return unmap(cdb, data)
        case .writeSame16: return writeSame(cdb, data)
        case .verify10, .verify16: return verify(cdb, data)
        default: return control(cdb, data)
        }
    }

    // MARK: Medium access

    /// Whether the CDB's length fits the group of its operation code, the top three bits (SPC-4, 4.3.2).
    private static func hasMatchingLength(_ cdb: CommandDescriptorBlock) -> Bool {
        switch cdb.operationCode.rawValue >> 5 {
        case 0: cdb.byteCount == 6
        case 1, 2: cdb.byteCount == 10
        case 4: cdb.byteCount == 16
        case 5: cdb.byteCount == 12
        default: false
        }
    }

    private func contains(_ range: BlockRange) -> Bool { range.isInside(mediumBlockCount: traits.blockCount) }

    private func transfer(
        _ cdb: CommandDescriptorBlock, isWrite: Bool, _ data: UnsafeMutableRawBufferPointer
    ) -> TargetAction {
        guard Self.hasMatchingLength(cdb) else { return .checkCondition(.invalidFieldInCDB) }
        let range = cdb.blockRange
        // READ (6) and WRITE (6) have no flags.
        let flags = cdb.byteCount == 6 ? 0 : cdb.bytes[1]
        // RDPROTECT and WRPROTECT: protection information is not supported.
        guard flags & 0xE0 == 0 else { return .checkCondition(.invalidFieldInCDB) }
        if isWrite && traits.isReadOnly { return .checkCondition(.writeProtected) }
        guard contains(range) else { return .checkCondition(.logicalBlockAddressOutOfRange) }
        // The initiator's memory is smaller than the transfer.
        guard range.blockCount * UInt64(traits.blockByteCount) <= UInt64(data.count) else {
            return .checkCondition(.invalidFieldInCDB)
        }
        if range.blockCount == 0 { return .good }
        if isWrite {
            let forced = flags & CommandDescriptorBlock.forceUnitAccessBit != 0
            return .write(lba: range.lba, blockCount: range.blockCount, forceUnitAccess: forced)
        }
        return .read(lba: range.lba, blockCount: range.blockCount)
    }

    private func synchronize(_ cdb: CommandDescriptorBlock) -> TargetAction {
        guard Self.hasMatchingLength(cdb) else { return .checkCondition(.invalidFieldInCDB) }
        guard contains(cdb.blockRange) else { return .checkCondition(.logicalBlockAddressOutOfRange) }
        return .synchronizeCache
    }

    private func verify(_ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer) -> TargetAction {
        guard Self.hasMatchingLength(cdb) else { return .checkCondition(.invalidFieldInCDB) }
        let range = cdb.blockRange
        let flags = cdb.bytes[1]
        let byteCheck = flags >> 1 & 0x03
        guard flags & 0xE0 == 0, byteCheck <= 1 else { return .checkCondition(.invalidFieldInCDB) }
        guard contains(range) else { return .checkCondition(.logicalBlockAddressOutOfRange) }
        let byteCount = range.blockCount * UInt64(traits.blockByteCount)
        guard byteCheck == 0 || byteCount <= UInt64(data.count), byteCount <= Self.verifyByteCountMax else {
            return .checkCondition(.invalidFieldInCDB)
        }
        if range.blockCount == 0 { return .good }
        return .verify(lba: range.lba, blockCount: range.blockCount, comparesData: byteCheck == 1)
    }

    /// Bytes that one VERIFY may cover at most, since the card is busy for all of it.
    package static let verifyByteCountMax: UInt64 = 64 << 20

    /// WRITE SAME (16): zeros only, without a data-out buffer or with one block of zeros.
    private func writeSame(_ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer) -> TargetAction {
        let flags = cdb.bytes[1]
        let range = cdb.blockRange
        guard cdb.byteCount == 16, flags & 0xF4 == 0, range.blockCount > 0,
            range.blockCount <= traits.maximumWriteSameBlocks
        else { return .checkCondition(.invalidFieldInCDB) }
        if traits.isReadOnly { return .checkCondition(.writeProtected) }
        guard contains(range) else { return .checkCondition(.logicalBlockAddressOutOfRange) }
        if flags & 0x01 == 0 {
            let blockByteCount = Int(traits.blockByteCount)
            guard data.count >= blockByteCount, data[..<blockByteCount].allSatisfy({ $0 == 0 }) else {
                return .checkCondition(.invalidFieldInCDB)
            }
        }
        return .zero(lba: range.lba, blockCount: range.blockCount, mayUnmap: flags & 0x08 != 0)
    }

    /// UNMAP with a parameter list of at most one descriptor (SBC-3, 5.28).
    private func unmap(_ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer) -> TargetAction {
        guard traits.supportsUnmap else { return .checkCondition(.invalidOperationCode) }
        if traits.isReadOnly { return .checkCondition(.writeProtected) }
        let length = Int(cdb.load(7, as: UInt16.self))
        guard cdb.byteCount == 10, cdb.bytes[1] & 1 == 0 else { return .checkCondition(.invalidFieldInCDB) }
        if length == 0 { return .good }
        guard length <= data.count,
            let list = UnmapParameterList(parsing: UnsafeRawBufferPointer(rebasing: data[..<length]))
        else { return .checkCondition(.parameterListLengthError) }
        if list.descriptorDataLength == 0 { return .good }
        guard list.descriptorDataLength == UnmapParameterList.descriptorByteCount, let range = list.range,
            range.blockCount <= UInt64(traits.maximumUnmapBlocks)
        else { return .checkCondition(.invalidFieldInParameterList) }
        guard contains(range) else { return .checkCondition(.logicalBlockAddressOutOfRange) }
        return range.blockCount == 0 ? .good : .zero(lba: range.lba, blockCount: range.blockCount, mayUnmap: true)
    }

    // MARK: Control

    private func control(_ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer) -> TargetAction {
        switch cdb.operationCode {
        case .testUnitReady, .startStopUnit: return .good
        case .inquiry: return inquiry(cdb, data, isPresent: true)
        case .requestSense: return requestSense(cdb, .none, data)
        case .reportLUNs: return reportLUNs(cdb, data)
        case .readCapacity10:
            return .respond(byteCount: traits.readCapacity10().copy(to: data, allocationLength: .max))
        case .serviceActionIn16 where cdb.serviceAction == .readCapacity16:
            let length = Int(cdb.load(10, as: UInt32.self))
            return .respond(byteCount: traits.readCapacity16().copy(to: data, allocationLength: length))
        case .serviceActionIn16: return .checkCondition(.invalidFieldInCDB)
        case .modeSense6, .modeSense10: return modeSense(cdb, data)
        default: return .checkCondition(.invalidOperationCode)
        }
    }

    /// An absent logical unit still answers three commands (SPC-4, 5.10).
    private func actionForAbsentUnit(
        _ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer
    ) -> TargetAction {
        switch cdb.operationCode {
        case .inquiry: inquiry(cdb, data, isPresent: false)
        case .requestSense: requestSense(cdb, .logicalUnitNotSupported, data)
        case .reportLUNs: reportLUNs(cdb, data)
        default: .checkCondition(.logicalUnitNotSupported)
        }
    }

    private func inquiry(
        _ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer, isPresent: Bool
    ) -> TargetAction {
        let length = Int(cdb.load(3, as: UInt16.self))
        if cdb.bytes[1] & 1 == 0 {
            guard cdb.bytes[2] == 0 else { return .checkCondition(.invalidFieldInCDB) }
            return .respond(
                byteCount: traits.standardInquiry(isPresent: isPresent).copy(to: data, allocationLength: length))
        }
        guard let page = traits.vitalProductData(page: VitalProductDataPage(rawValue: cdb.bytes[2])) else {
            return .checkCondition(.invalidFieldInCDB)
        }
        return .respond(byteCount: page.copy(to: data, allocationLength: length))
    }

    private func requestSense(
        _ cdb: CommandDescriptorBlock, _ sense: SenseData, _ data: UnsafeMutableRawBufferPointer
    ) -> TargetAction {
        // Descriptor format is not offered.
        guard cdb.bytes[1] & 1 == 0 else { return .checkCondition(.invalidFieldInCDB) }
        let bytes = sense.fixedFormat
        let count = min(SenseData.fixedByteCount, min(Int(cdb.bytes[4]), data.count))
        for index in 0..<count { data[index] = bytes[index] }
        return .respond(byteCount: count)
    }

    private func reportLUNs(
        _ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer
    ) -> TargetAction {
        let length = Int(cdb.load(6, as: UInt32.self))
        guard length >= 16 else { return .checkCondition(.invalidFieldInCDB) }
        return .respond(byteCount: traits.reportLUNs().copy(to: data, allocationLength: length))
    }

    private func modeSense(_ cdb: CommandDescriptorBlock, _ data: UnsafeMutableRawBufferPointer) -> TargetAction {
        let isLong = cdb.operationCode == .modeSense10
        let control = cdb.bytes[2] >> 6
        guard control != 3 else { return .checkCondition(.savingParametersNotSupported) }
        let subpage = cdb.bytes[3]
        guard subpage == 0 || subpage == 0xFF,
            let pages = traits.modeSense(
                page: ModePage(rawValue: cdb.bytes[2] & 0x3F), control: control, isLong: isLong,
                withBlockDescriptor: cdb.bytes[1] & 0x08 == 0)
        else { return .checkCondition(.invalidFieldInCDB) }
        let length = isLong ? Int(cdb.load(7, as: UInt16.self)) : Int(cdb.bytes[4])
        return .respond(byteCount: pages.copy(to: data, allocationLength: length))
    }
}
