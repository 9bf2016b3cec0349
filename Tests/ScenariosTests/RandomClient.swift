import BlockStorage
import Platform
import TestSupport

/// A client that sends batches of random requests to a small region, so that they overlap, and waits for each batch. It
/// may move from one thread to another.
struct RandomClient: @unchecked Sendable {
    // SAFETY: one thread uses it at a time.

    static let batchSizeMax = 16
    static let requestByteCountMax = 64 << 10
    private static let regionByteCount: UInt64 = 2 << 20

    private let device: BlockStorageDevice
    private let lane: any BlockLane
    private let receiver = Receiver()
    private let memory: UnsafeMutableRawBufferPointer
    private var random: SeededGenerator
    private let clock: DeadlineClock?

    /// - Parameters:
    ///   - seed: which requests.
    ///   - clock: the kernel half's, if it can be turned. Give it to the only client of a driver that does everything
    ///     on its client's thread: when that has nothing left to do, only time can end the requests, and the client
    ///     turns it.
    init(device: BlockStorageDevice, seed: UInt64, clock: DeadlineClock? = nil) throws {
        self.device = device
        self.clock = clock
        lane = try device.makeLane(receiver: receiver)
        memory = device.arena.allocate(byteCount: Self.batchSizeMax * Self.requestByteCountMax)!
        random = SeededGenerator(seed: seed)
    }

    /// Sends a batch and waits until all of it has ended.
    /// - Parameter overlapping: it begins with two writes that overlap.
    /// - Returns: how many requests failed.
    mutating func runBatch(overlapping: Bool = false) -> Int {
        var requests = (0..<Int.random(in: 1...Self.batchSizeMax, using: &random)).map { request($0) }
        if overlapping {
            requests = [write(0, at: 4096), write(1, at: 8192)] + requests.dropFirst(2)
        }
        receiver.expect(requests.count)
        requests.withUnsafeBufferPointer { lane.submit($0) }
        while lane.hasOutstandingWork { lane.wait(orReadable: -1) }
        while let clock, !receiver.isDone { clock.turn(byMilliseconds: 10) }
        return receiver.wait()
    }

    func close() {
        lane.close()
        device.arena.free(memory)
    }

    private func write(_ tag: Int, at byteOffset: UInt64) -> BlockRequest {
        BlockRequest(
            operation: .write, tag: UInt16(tag), byteOffset: byteOffset, byteCount: 8192, buffer: buffer(tag))
    }

    private func buffer(_ tag: Int) -> UnsafeMutableRawPointer {
        memory.baseAddress! + tag * Self.requestByteCountMax
    }

    private mutating func request(_ tag: Int) -> BlockRequest {
        let operation: BlockRequest.Operation =
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<7: .read
            case 7..<15: .write
            case 15, 16: .flush
            case 17, 18: .writeZeroes
            default: device.info.supportsTrim ? .trim : .writeZeroes
            }
        if operation == .flush { return BlockRequest(operation: .flush, tag: UInt16(tag)) }
        // One in eight is not aligned to blocks.
        let unit: UInt64 = Int.random(in: 0..<8, using: &random) == 0 ? 100 : 4096
        let byteCount = UInt32(.random(in: 1...UInt64(Self.requestByteCountMax) / unit, using: &random) * unit)
        let byteOffset = .random(in: 0..<Self.regionByteCount / unit, using: &random) * unit
        let flags: BlockRequest.Flags = Int.random(in: 0..<8, using: &random) == 0 ? .forceUnitAccess : []
        let hasData = operation == .read || operation == .write
        return BlockRequest(
            operation: operation, flags: flags, tag: UInt16(tag), byteOffset: byteOffset, byteCount: byteCount,
            buffer: hasData ? buffer(tag) : nil)
    }

    private final class Receiver: BlockCompletionReceiver, @unchecked Sendable {
        // SAFETY: under `lock`.
        private var left = 0
        private var failed = 0
        private var done = OneShotEvent()
        private let lock = Lock()

        func expect(_ count: Int) {
            lock.withLock {
                left = count
                failed = 0
                done = OneShotEvent()
            }
        }

        func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {
            let ended: OneShotEvent? = lock.withLock {
                failed += completions.count { $0.error != .none }
                left -= completions.count
                return left == 0 ? done : nil
            }
            ended?.set()
        }

        var isDone: Bool { lock.withLock { left == 0 } }

        func wait() -> Int {
            lock.withLock { done }.wait()
            return lock.withLock { failed }
        }
    }
}
