import BlockStorage
import Glibc
import Platform
import TestSupport

/// A block device in memory that counts what reaches it, and ends requests as a test wants: at once, when it is told
/// to, or at random: at once, in its lane's `wait`, or on a thread of its own.
final class MemoryDisk: BlockService, @unchecked Sendable {
    // SAFETY: everything that changes is touched under `lock`; the bytes by one request at a time, see `overlaps`.

    enum Mode {
        case atOnce, held, random
    }

    struct Pending {
        var request: BlockRequest
        var receiver: any BlockCompletionReceiver
        /// When it came; tells requests apart.
        var number: Int
    }

    let info: BlockServiceInfo
    let arena: DataArena
    let bytes: UnsafeMutableRawBufferPointer
    private let lock = Lock()
    private var log: [BlockRequest] = []
    private var held: [Pending] = []
    private var underWay: [Pending] = []
    private var overlapCount = 0
    private var mode = Mode.atOnce
    private var failure: BlockError = .none
    private var failing: Set<BlockRequest.Operation> = []
    private var requestCount = 0
    private var random = SeededGenerator(seed: 1)
    private let worker = WorkerThread()

    init(byteCount: Int = 64 * 16384, blockByteCount: Int = 512, isReadOnly: Bool = false, supportsTrim: Bool = true)
        throws
    {
        info = BlockServiceInfo(
            name: "memory", description: "memory", byteCount: UInt64(byteCount), blockByteCount: blockByteCount,
            preferredByteCount: 65536, isReadOnly: isReadOnly, supportsTrim: supportsTrim)
        arena = try DataArena(byteCount: 128 << 20)
        bytes = .allocate(byteCount: byteCount, alignment: 4096)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit {
        worker.stop()
        bytes.deallocate()
    }

    // MARK: For the test

    func setMode(_ mode: Mode, seed: UInt64 = 1) {
        lock.withLock {
            self.mode = mode
            random = SeededGenerator(seed: seed)
        }
    }

    /// Makes operations fail, until it is called again.
    func fail(_ operations: Set<BlockRequest.Operation>, with error: BlockError = .inputOutput) {
        lock.withLock { (failing, failure) = (operations, error) }
    }

    /// What has come since this was last called.
    func takeLog() -> [BlockRequest] {
        lock.withLock {
            defer { log = [] }
            return log
        }
    }

    /// Requests that changed the same bytes at the same time; their order would be undefined.
    var overlaps: Int { lock.withLock { overlapCount } }

    var heldOperations: [BlockRequest.Operation] { lock.withLock { held.map(\.request.operation) } }

    /// Ends the held request at a position of `heldOperations`, on the calling thread.
    func release(_ index: Int = 0) { execute(lock.withLock { held.remove(at: index) }) }

    // MARK: BlockService

    func makeLane(receiver: any BlockCompletionReceiver) throws -> any BlockLane {
        Lane(disk: self, receiver: receiver)
    }

    /// Takes a request. Returns it when its lane's thread must execute it in `wait`.
    fileprivate func take(_ request: BlockRequest, _ receiver: any BlockCompletionReceiver) -> Pending? {
        var pending = Pending(request: request, receiver: receiver, number: 0)
        let choice = lock.withLock {
            log.append(request)
            requestCount += 1
            pending.number = requestCount
            if request.operation != .read {
                overlapCount += underWay.filter { Self.overlap($0.request, request) }.count
            }
            underWay.append(pending)
            switch mode {
            case .atOnce: return 0
            case .held:
                held.append(pending)
                return 1
            case .random: return [0, 2, 3].randomElement(using: &random)!
            }
        }
        switch choice {
        case 0: execute(pending)
        case 2: return pending
        case 3:
            // SAFETY: only the worker uses it from here on.
            nonisolated(unsafe) let late = pending
            worker.run { self.execute(late) }
        default: break
        }
        return nil
    }

    private static func overlap(_ left: BlockRequest, _ right: BlockRequest) -> Bool {
        left.operation != .read && left.byteOffset < right.byteOffset + UInt64(right.byteCount)
            && right.byteOffset < left.byteOffset + UInt64(left.byteCount)
    }

    fileprivate func execute(_ pending: Pending) {
        let request = pending.request
        let place = bytes.baseAddress! + Int(request.byteOffset)
        let error = lock.withLock {
            let error = failing.contains(request.operation) ? failure : .none
            if error == .none {
                switch request.operation {
                case .read: memcpy(request.buffer!, place, Int(request.byteCount))
                case .write: memcpy(place, request.buffer!, Int(request.byteCount))
                case .writeZeroes, .trim: memset(place, 0, Int(request.byteCount))
                case .flush: break
                }
            }
            underWay.removeAll { $0.number == pending.number }
            return error
        }
        let completion = BlockCompletion(
            tag: request.tag, error: error, byteCount: error == .none ? request.byteCount : 0)
        withUnsafePointer(to: completion) {
            pending.receiver.completed(UnsafeBufferPointer(start: $0, count: 1))
        }
    }

    /// Executes some requests in `wait` only, as the card does with what a lane started.
    private final class Lane: BlockLane {
        private let disk: MemoryDisk
        private let receiver: any BlockCompletionReceiver
        let requests = UnsafeMutablePointer<BlockRequest>.allocate(capacity: 16)
        private var started: [Pending] = []
        /// The thread that is in the lane: there may be one.
        private let inside = Lock()

        init(disk: MemoryDisk, receiver: any BlockCompletionReceiver) {
            self.disk = disk
            self.receiver = receiver
        }

        deinit { requests.deallocate() }

        let requestCapacity = 16
        var hasOutstandingWork: Bool { !started.isEmpty }

        func submit(_ tags: UnsafeBufferPointer<UInt16>) {
            precondition(inside.tryLock(), "two threads are in one lane")
            started += tags.compactMap { disk.take(requests[Int($0)], receiver) }
            inside.unlock()
        }

        func wait(orReadable descriptor: Int32) {
            precondition(inside.tryLock(), "two threads are in one lane")
            defer { inside.unlock() }
            guard !started.isEmpty else { return }
            disk.execute(started.removeLast())
        }

        func close() {}
    }
}

/// A thread that runs what it is given, the last first if there is more.
final class WorkerThread: @unchecked Sendable {
    // SAFETY: `tasks` and `isStopped` are touched under `lock`.
    private let lock = Lock()
    private var tasks: [@Sendable () -> Void] = []
    private var isStopped = false
    private let wakeup = AutoResetEvent()
    private let hasEnded = OneShotEvent()
    private var isStarted = false

    func run(_ task: @escaping @Sendable () -> Void) {
        lock.withLock {
            tasks.append(task)
            guard !isStarted else { return }
            isStarted = true
            let thread = try? OSThread(name: "worker") { self.loop() }
            thread?.detach()
        }
        wakeup.set()
    }

    func stop() {
        let mustWait = lock.withLock {
            isStopped = true
            return isStarted
        }
        wakeup.set()
        if mustWait { hasEnded.wait() }
    }

    private func loop() {
        while true {
            let (task, mustEnd) = lock.withLock { (tasks.popLast(), isStopped) }
            if let task {
                task()
            } else if mustEnd {
                return hasEnded.set()
            } else {
                wakeup.wait()
            }
        }
    }
}
