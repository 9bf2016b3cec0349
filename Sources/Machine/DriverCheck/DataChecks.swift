import BlockStorage
import EmulatedMachine
import Glibc
import Platform
import SCSIControllerDriverKit

/// The checks that send requests to a driver's targets.
struct DataChecks {
    static let regionByteCountMax: UInt64 = 24 << 20
    static let laneCount = 4
    let machine: Machine
    var device: BlockStorageDevice { machine.devices[0] }
    var region: UInt64 { min(device.info.byteCount, Self.regionByteCountMax) / (1 << 20) * (1 << 20) }

    // MARK: One request at a time

    /// Writes and reads sizes from a byte to several MiB, aligned and not, and compares with a copy of the whole
    /// region.
    func integrity(_ device: BlockStorageDevice) throws(OperationError) -> String {
        let region = Int(min(device.info.byteCount, Self.regionByteCountMax) / (1 << 20) * (1 << 20))
        guard let memory = device.arena.allocate(byteCount: region), region > 0 else {
            throw OperationError("the target has \(device.info.byteCount) bytes; a check needs 1 MiB")
        }
        defer { device.arena.free(memory) }
        var copy = [UInt8](repeating: 0, count: region)
        let sizes = [
            512, 1024, 4096, 4608, 65536, 66048, 131_072, 262_144, 1 << 20, 3 << 20, 8 << 20, (9 << 20) + 512, 1, 511,
            513,
            4095, 70001, 1_234_567,
        ]
        var generator = SeededGenerator(seed: 1)
        var requests = [(offset: 0, count: region)]
        for count in sizes where count <= region {
            let last = region - count
            let grain = count % 512 == 0 ? 512 : 1
            requests += [(0, count), (last, count)]
            requests.append((Int(generator.next() % UInt64(last + 1)) / grain * grain, count))
        }
        for (index, request) in requests.enumerated() {
            let buffer = memory.baseAddress! + request.offset
            Pattern.fill(
                buffer, byteOffset: UInt64(request.offset), byteCount: request.count, seed: UInt64(index) * 977)
            copy.withUnsafeMutableBytes { copy in
                UnsafeMutableRawBufferPointer(rebasing: copy[request.offset..<request.offset + request.count])
                    .copyMemory(from: UnsafeRawBufferPointer(start: buffer, count: request.count))
            }
            try run(.write, request.offset, request.count, buffer, device)
            memset(buffer, 0xEE, request.count)
            try run(.read, request.offset, request.count, buffer, device)
            try compare(memory, copy, request.offset..<request.offset + request.count)
        }
        // The rest of the region must be unchanged.
        memset(memory.baseAddress!, 0xEE, region)
        try run(.read, 0, region, memory.baseAddress!, device)
        try compare(memory, copy, 0..<region)
        return "\(requests.count) writes from 1 byte to \(region >> 20) MiB, \(device.info.name)"
    }

    private func compare(
        _ memory: UnsafeMutableRawBufferPointer, _ copy: [UInt8], _ range: Range<Int>
    ) throws(OperationError) {
        let isEqual = copy.withUnsafeBytes {
            memcmp($0.baseAddress! + range.lowerBound, memory.baseAddress! + range.lowerBound, range.count) == 0
        }
        if isEqual { return }
        let first = range.first { memory[$0] != copy[$0] } ?? range.lowerBound
        throw OperationError(
            "a read of \(range.count) bytes at \(range.lowerBound) differs from what was written, from byte \(first) on"
        )
    }

    private func run(
        _ operation: BlockRequest.Operation, _ offset: Int, _ count: Int, _ buffer: UnsafeMutableRawPointer?,
        _ device: BlockStorageDevice
    ) throws(OperationError) {
        let request = BlockRequest(
            operation: operation, tag: 0, byteOffset: UInt64(offset), byteCount: UInt32(count), buffer: buffer)
        try RegionWorker.run([request], on: device)
    }

    /// Writes to the same blocks at once. The detectors below see whether the driver keeps their order.
    func overlap() throws(OperationError) -> String {
        guard let memory = device.arena.allocate(byteCount: 1 << 20) else { throw OperationError("no memory") }
        defer { device.arena.free(memory) }
        memset(memory.baseAddress!, 0x3C, memory.count)
        let pairs: [(UInt64, UInt32)] = [(4096, 8192), (8192, 8192), (512 << 10, 4096)]
        let requests = pairs.map {
            BlockRequest(
                operation: .write, tag: 0, byteOffset: $0.0, byteCount: $0.1, buffer: memory.baseAddress! + Int($0.0))
        }
        try RegionWorker.run(requests, on: device)
        return "3 writes at once, 2 of them to the same blocks"
    }

    func flush() throws(OperationError) -> String {
        try RegionWorker.run([BlockRequest(operation: .flush, tag: 0)], on: device)
        return "SYNCHRONIZE CACHE, where the disk has a cache"
    }

    /// Checks that flushed data survives the loss of the card's cache.
    func powerCut() throws(OperationError) -> String {
        guard let memory = device.arena.allocate(byteCount: 64 << 10) else { throw OperationError("no memory") }
        defer { device.arena.free(memory) }
        Pattern.fill(memory.baseAddress!, byteOffset: 0, byteCount: memory.count, seed: 5)
        let count = 64 << 10
        try run(.write, 0, count, memory.baseAddress!, device)
        _ = try flush()
        let text = machine.powerCut()
        memset(memory.baseAddress!, 0xEE, count)
        try run(.read, 0, count, memory.baseAddress!, device)
        try Pattern.compare(
            BlockRequest(operation: .read, tag: 0, byteCount: UInt32(count), buffer: memory.baseAddress!), seed: 5)
        return text
    }

    // MARK: Many requests

    /// Loads several lanes with many outstanding requests each.
    func manyOutstanding() throws(OperationError) -> String {
        let bytes = try load(milliseconds: 0, depth: 32, byteCountMax: 128 << 10, seed: 11)
        return "\(Self.laneCount) lanes, 32 requests each at a time, \(bytes >> 20) MiB verified"
    }

    func stress(milliseconds: UInt64) throws(OperationError) -> String {
        let bytes = try load(milliseconds: milliseconds, depth: 16, byteCountMax: 256 << 10, seed: 23)
        return "\(Self.laneCount) lanes for \(milliseconds / 1000) s, \(bytes >> 20) MiB verified"
    }

    /// - Parameter milliseconds: the duration; each lane does at least 4 rounds.
    /// - Returns: the bytes that were verified.
    func load(milliseconds: UInt64, depth: Int, byteCountMax: Int, seed: UInt64) throws(OperationError) -> Int {
        let share = region / UInt64(Self.laneCount)
        let tally = Tally()
        let limit = monotonicMilliseconds() + milliseconds
        var threads: [OneShotEvent] = []
        for lane in 0..<Self.laneCount {
            let ended = OneShotEvent()
            let start = UInt64(lane) * share
            let worker = RegionWorker(
                device, region: start..<start + share, depth: depth, byteCountMax: byteCountMax,
                seed: seed &+ UInt64(lane))
            try Self.spawn { [worker] in
                var own = worker
                var rounds = 0
                while !tally.hasFailed, rounds < 4 || monotonicMilliseconds() < limit {
                    do throws(OperationError) { tally.add(try own.round()) } catch { tally.fail(error) }
                    rounds += 1
                }
                ended.set()
            }
            threads.append(ended)
        }
        for thread in threads { thread.wait() }
        return try tally.result()
    }

    private static func spawn(_ body: @escaping @Sendable () -> Void) throws(OperationError) {
        do { try OSThread(name: "check", body).detach() } catch { throw OperationError("\(error)", cause: error) }
    }

    // MARK: Task management

    /// Asks for aborts and resets while requests are under way. A refusal is an answer; silence is not.
    func recovery() throws(OperationError) -> String {
        var answers: [String] = []
        let target = UInt64(machine.addresses[0].targetID)
        let functions: [(String, TaskManagementFunction)] = [
            ("abort", .abortTask(targetID: target, logicalUnit: 0, tag: 0xFFFF)),
            ("unit reset", .logicalUnitReset(targetID: target, logicalUnit: 0)),
            ("target reset", .targetReset(targetID: target)),
        ]
        let ended = OneShotEvent()
        try Self.spawn { [self] in
            // A reset may fail what is under way.
            _ = try? load(milliseconds: 300, depth: 8, byteCountMax: 32 << 10, seed: 31)
            ended.set()
        }
        _ = OneShotEvent().wait(milliseconds: 50)
        var silent: String?
        for (name, function) in functions {
            let outcome = machine.perform(function)
            if case .unreachable = outcome { silent = silent ?? name }
            answers.append("\(name) \(outcome)")
        }
        ended.wait()
        if let silent { throw OperationError("the driver did not answer the request for \(silent)") }
        _ = try load(milliseconds: 0, depth: 4, byteCountMax: 32 << 10, seed: 37)
        return answers.joined(separator: ", ")
    }
}

/// The findings of several threads.
private final class Tally: @unchecked Sendable {
    // SAFETY: only under `lock`.
    private let lock = Lock()
    private var byteCount = 0
    private var failure: OperationError?

    var hasFailed: Bool { lock.withLock { failure != nil } }
    func add(_ bytes: Int) { lock.withLock { byteCount += bytes } }
    func fail(_ error: OperationError) { lock.withLock { failure = failure ?? error } }

    func result() throws(OperationError) -> Int {
        try lock.withLock { () throws(OperationError) in
            if let failure { throw failure }
            return byteCount
        }
    }
}
