import CISAL
import RAID

/// CRC-32C over memory, with ISA-L.
enum Checksum {
    static func run(_ job: ChecksumJob) {
        assert(job.byteCount >= 0 && job.byteCount <= Int32.max, "ISA-L counts with 32 bits")
        // crc32_iscsi takes and returns the CRC register: it starts as all ones, and the checksum is its inverse.
        // The first parameter lacks a const.
        let source = UnsafeMutablePointer(mutating: job.source.assumingMemoryBound(to: UInt8.self))
        let checksum = ~crc32_iscsi(source, Int32(job.byteCount), .max)
        job.destination.storeBytes(of: checksum.littleEndian, as: UInt32.self)
    }
}
