import SCSI

/// One command that moves data: a stage of a request, or a step of deblocking.
struct StageTransfer {
    /// Bytes of a block of the modelled disk.
    static let blockByteCount: UInt64 = 512

    var purpose: StageRun.Purpose
    var isWrite: Bool
    /// Where it begins on the medium, and its size, bytes; whole blocks.
    var byteOffset: UInt64
    var byteCount: UInt64
    /// The address of its memory.
    var address: UInt64

    var lba: UInt64 { byteOffset / Self.blockByteCount }
    var blockCount: UInt64 { byteCount / Self.blockByteCount }

    var cdb: CommandDescriptorBlock {
        .transfer(isWrite: isWrite, lba: lba, blockCount: UInt32(blockCount), forceUnitAccess: false)
    }

    /// The number of consecutive transfers like this one whose commands have the same form.
    var countOfSameCommand: UInt64 {
        let lastShortLBA = UInt64(UInt32.max)
        return lba > lastShortLBA ? .max : (lastShortLBA - lba) / blockCount + 1
    }

    /// The command's name with its length: "READ(16)".
    var command: String { "\(isWrite ? "WRITE" : "READ")(\(cdb.byteCount))" }
}
