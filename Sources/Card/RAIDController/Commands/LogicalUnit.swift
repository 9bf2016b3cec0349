import ArrayEngine
import SCSI
import Synchronization

/// A logical unit of the card: an array, the disk as which it answers, and its write cache.
///
/// Threads: any.
final class LogicalUnit: Sendable {
    let array: LiveArray
    let disk: DirectAccessTarget
    /// Nil when the unit has no write cache.
    let cache: WriteCache?
    let verifyMemory = VerifyMemory(commandCapacity: RAIDController.commandCapacity)
    /// Whether the card has ever had a command for the unit.
    let hasBeenAsked = Atomic<Bool>(false)

    /// - Parameters:
    ///   - unitsPerTarget: the number of logical units of the unit's target.
    ///   - isRemovable: INQUIRY reports a removable medium (the RMB bit).
    ///   - writeCacheByteCount: the size of the write cache; 0 for none.
    init(_ array: LiveArray, unitsPerTarget: Int, isRemovable: Bool, writeCacheByteCount: Int) {
        self.array = array
        var traits = Self.traits(of: array)
        traits.unitCount = UInt8(unitsPerTarget)
        traits.isRemovable = isRemovable
        disk = DirectAccessTarget(traits: traits)
        cache =
            array.isReadOnly
            ? nil
            : WriteCache(
                byteCount: writeCacheByteCount, stripeByteCount: array.stripeByteCount,
                commandCapacity: RAIDController.commandCapacity)
    }

    private static func traits(of array: LiveArray) -> DiskTraits {
        var traits = DiskTraits()
        traits.product = "RAID \(array.level)"
        traits.serialNumber = array.uuidText
        traits.identifier = array.uuid
        traits.blockCount = array.capacityByteCount / UInt64(traits.blockByteCount)
        // A power of two that fits the two-byte field of the Block Limits VPD page (SBC-3), for chunks above 16 MiB
        // too.
        let granularity = min(array.chunkByteCount, 16 << 20)
        traits.optimalTransferGranularity = UInt16(granularity / UInt64(traits.blockByteCount))
        traits.optimalTransferBlocks = UInt32(clamping: array.stripeByteCount / UInt64(traits.blockByteCount))
        traits.isReadOnly = array.isReadOnly
        return traits
    }
}
