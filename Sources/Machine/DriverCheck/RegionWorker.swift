import BlockStorage
import EmulatedMachine
import Glibc
import Platform

/// Writes batches of requests to a region of a device, reads them back and compares. Several workers, with a region
/// each, load several lanes.
///
/// Threads: one.
struct RegionWorker {
    let device: BlockStorageDevice
    /// The bytes of the device that only this worker uses.
    let region: Range<UInt64>
    /// Requests that are outstanding at the same time.
    let depth: Int
    /// The largest request, bytes.
    let byteCountMax: Int
    var generator: SeededGenerator

    init(_ device: BlockStorageDevice, region: Range<UInt64>, depth: Int, byteCountMax: Int, seed: UInt64) {
        self.device = device
        self.region = region
        self.depth = depth
        self.byteCountMax = min(byteCountMax, Int(region.upperBound - region.lowerBound) / depth)
        generator = SeededGenerator(seed: seed)
    }

    /// Starts a batch of writes at once, and then reads of the same places at once.
    /// - Returns: the bytes that were verified.
    mutating func round() throws(OperationError) -> Int {
        guard let memory = device.arena.allocate(byteCount: depth * byteCountMax) else {
            throw OperationError("the data arena is full")
        }
        defer { device.arena.free(memory) }
        let share = UInt64(region.upperBound - region.lowerBound) / UInt64(depth)
        let seed = generator.next()
        var writes: [BlockRequest] = []
        for index in 0..<depth {
            let isOdd = generator.next() % 5 == 0
            let grain: UInt64 = isOdd ? 1 : 512
            let count = max(grain, generator.next() % UInt64(byteCountMax + 1) / grain * grain)
            let start = region.lowerBound + UInt64(index) * share
            let offset = start + generator.next() % (share - count + 1) / grain * grain
            let buffer = memory.baseAddress! + index * byteCountMax
            Pattern.fill(buffer, byteOffset: offset, byteCount: Int(count), seed: seed)
            writes.append(
                BlockRequest(
                    operation: .write, tag: 0, byteOffset: offset, byteCount: UInt32(count), buffer: buffer))
        }
        try Self.run(writes, on: device)
        memset(memory.baseAddress!, 0xEE, memory.count)
        // In another order than the writes.
        let reads = writes.shuffled(using: &generator).map { write in
            var read = write
            read.operation = .read
            return read
        }
        try Self.run(reads, on: device)
        for read in reads { try Pattern.compare(read, seed: seed) }
        return reads.reduce(0) { $0 + Int($1.byteCount) }
    }

    /// Starts all requests at once, and expects all to succeed.
    static func run(_ requests: [BlockRequest], on device: BlockStorageDevice) throws(OperationError) {
        for (request, error) in zip(requests, BlockingClient.execute(requests, on: device)) where error != .none {
            throw OperationError(
                "\(request.operation) of \(request.byteCount) bytes at \(request.byteOffset) failed (\(error))")
        }
    }
}

/// Data that depends on its place, so that misplaced data is noticed.
enum Pattern {
    static func byte(_ byteOffset: UInt64, seed: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: ((byteOffset &+ seed) &* 0x9E37_79B1) >> 17)
    }

    static func fill(_ memory: UnsafeMutableRawPointer, byteOffset: UInt64, byteCount: Int, seed: UInt64) {
        let bytes = memory.assumingMemoryBound(to: UInt8.self)
        for index in 0..<byteCount { bytes[index] = byte(byteOffset + UInt64(index), seed: seed) }
    }

    /// - Throws: when what was read is not what was written.
    static func compare(_ read: BlockRequest, seed: UInt64) throws(OperationError) {
        let bytes = read.buffer!.assumingMemoryBound(to: UInt8.self)
        for index in 0..<Int(read.byteCount)
        where bytes[index] != byte(read.byteOffset + UInt64(index), seed: seed) {
            throw OperationError(
                "a read of \(read.byteCount) bytes at \(read.byteOffset) differs from what was written, from byte "
                    + "\(read.byteOffset + UInt64(index)) on")
        }
    }
}
