import BlockStorage
import Glibc
import Platform
import Testing

/// One client of a block device: a lane, and memory for each tag. Used by one thread.
final class CacheClient {
    static let slotByteCount = 256 << 10

    let lane: any BlockLane
    let capacity: Int
    private let arena: DataArena
    private let memory: UnsafeMutableRawBufferPointer
    private let recorder = Recorder()

    init(_ service: any BlockService) throws {
        lane = try service.makeLane(receiver: recorder)
        capacity = lane.requestCapacity
        arena = service.arena
        memory = arena.allocate(byteCount: capacity * Self.slotByteCount)!
    }

    deinit {
        lane.close()
        arena.free(memory)
    }

    /// The memory of a tag.
    func buffer(_ tag: UInt16) -> UnsafeMutableRawPointer { memory.baseAddress! + Int(tag) * Self.slotByteCount }

    func start(
        _ operation: BlockRequest.Operation, tag: UInt16 = 0, at offset: Int = 0, count: Int = 0,
        flags: BlockRequest.Flags = []
    ) {
        let hasData = operation == .read || operation == .write
        let request = BlockRequest(
            operation: operation, flags: flags, tag: tag, byteOffset: UInt64(offset), byteCount: UInt32(count),
            buffer: hasData ? buffer(tag) : nil)
        withUnsafePointer(to: request) { lane.submit(UnsafeBufferPointer(start: $0, count: 1)) }
    }

    /// The outcomes since this was last called, in their order.
    func take() -> [BlockCompletion] { recorder.take() }

    /// Waits until so many requests have ended; fails the test if that cannot come.
    func outcomes(_ count: Int = 1) -> [BlockCompletion] {
        var taken = take()
        while taken.count < count {
            let isBusy = lane.hasOutstandingWork
            if isBusy { lane.wait(orReadable: -1) }
            taken += take()
            guard isBusy || taken.count >= count else {
                Issue.record("\(taken.count) requests have ended, and no other is under way; \(count) should have")
                let missing = BlockCompletion(tag: .max, error: .inputOutput, byteCount: 0)
                return taken + Array(repeating: missing, count: count - taken.count)
            }
        }
        return taken
    }

    /// One request, from begin to end.
    @discardableResult
    func perform(
        _ operation: BlockRequest.Operation, at offset: Int = 0, count: Int = 0, flags: BlockRequest.Flags = []
    ) -> BlockError {
        start(operation, at: offset, count: count, flags: flags)
        return outcomes()[0].error
    }

    @discardableResult
    func write(_ content: [UInt8], at offset: Int, flags: BlockRequest.Flags = []) -> BlockError {
        content.withUnsafeBytes { buffer(0).copyMemory(from: $0.baseAddress!, byteCount: content.count) }
        return perform(.write, at: offset, count: content.count, flags: flags)
    }

    /// The bytes of a range, or none if it cannot be read.
    func read(at offset: Int, count: Int) -> [UInt8] {
        guard perform(.read, at: offset, count: count) == .none else { return [] }
        return content(0, count)
    }

    /// What lies in the memory of a tag.
    func content(_ tag: UInt16, _ count: Int) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: buffer(tag), count: count))
    }

    private final class Recorder: BlockCompletionReceiver, @unchecked Sendable {
        // SAFETY: `completions` is touched under `lock`.
        private let lock = Lock()
        private var completions: [BlockCompletion] = []

        func completed(_ batch: UnsafeBufferPointer<BlockCompletion>) {
            lock.withLock { completions += batch }
        }

        func take() -> [BlockCompletion] {
            lock.withLock {
                defer { completions = [] }
                return completions
            }
        }
    }
}
