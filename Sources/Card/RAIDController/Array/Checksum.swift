import CISAL
import RAID

/// CRC-32C over memory, with ISA-L.
enum Checksum {
    static func run(_ job: ChecksumJob) {
        // The function takes and returns the register: the checksum begins with all-ones, and is the inverse at the end.
        // Its first parameter lacks a const.
        let source = UnsafeMutablePointer(mutating: job.source.assumingMemoryBound(to: UInt8.self))
        let checksum = ~crc32_iscsi(source, Int32(job.byteCount), .max)
        job.destination.storeBytes(of: checksum.littleEndian, as: UInt32.self)
    }
}
