import BlockStorage
import Glibc
import Platform
import SCSIArchitectureModel

/// A block service in memory. It completes requests inside `submit`, or when the test says so, from another thread.
package final class RAMService: BlockService, @unchecked Sendable {
    // SAFETY: `held` and `lanes` are touched under `lock`; the bytes only by requests that do not overlap.
    package let info: BlockServiceInfo
    package let arena: DataArena
    package let bytes: UnsafeMutableRawPointer
    fileprivate let lock = Lock()
    private var held: [(BlockRequest, any BlockCompletionReceiver)] = []
    private var holds = false
    fileprivate var lanes = 0
    /// Lanes at most. Set before the first one is made.
    package nonisolated(unsafe) var laneCountMax = Int.max

    package init(name: String = "ram", byteCount: Int = 80 << 20) throws {
        info = BlockServiceInfo(
            name: name, description: "memory", byteCount: UInt64(byteCount), blockByteCount: 512,
            preferredByteCount: 4096,
            isReadOnly: false, supportsTrim: true)
        arena = try DataArena(byteCount: 4 << 30)
        bytes = .allocate(byteCount: byteCount, alignment: 4096)
        memset(bytes, 0, byteCount)
    }

    deinit { bytes.deallocate() }

    package func makeLane(receiver: any BlockCompletionReceiver) throws -> any BlockLane {
        let isRefused = lock.withLock {
            if lanes == laneCountMax { return true }
            lanes += 1
            return false
        }
        if isRefused { throw OSError(code: EUSERS, doing: "make a lane") }
        return Lane(service: self, receiver: receiver)
    }

    /// Keeps requests until `releaseAll`.
    package func hold() { lock.withLock { holds = true } }

    /// Lanes that were made and not closed.
    package var laneCount: Int { lock.withLock { lanes } }

    package var heldCount: Int { lock.withLock { held.count } }

    /// Completes what was kept, the last first, on the calling thread.
    package func releaseAll() {
        let requests = lock.withLock {
            holds = false
            let requests = held
            held = []
            return requests
        }
        for (request, receiver) in requests.reversed() { execute(request, receiver) }
    }

    fileprivate func submit(_ requests: [BlockRequest], _ receiver: any BlockCompletionReceiver) {
        for request in requests {
            let isHeld = lock.withLock {
                if holds { held.append((request, receiver)) }
                return holds
            }
            if !isHeld { execute(request, receiver) }
        }
    }

    private func execute(_ request: BlockRequest, _ receiver: any BlockCompletionReceiver) {
        let place = bytes + Int(request.byteOffset)
        switch request.operation {
        case .read: memcpy(request.buffer!, place, Int(request.byteCount))
        case .write: memcpy(place, request.buffer!, Int(request.byteCount))
        case .writeZeroes, .trim: memset(place, 0, Int(request.byteCount))
        case .flush: break
        }
        let completion = BlockCompletion(tag: request.tag, error: .none, byteCount: request.byteCount)
        withUnsafePointer(to: completion) { receiver.completed(UnsafeBufferPointer(start: $0, count: 1)) }
    }

    private final class Lane: BlockLane {
        private let service: RAMService
        private let receiver: any BlockCompletionReceiver
        let requests = UnsafeMutablePointer<BlockRequest>.allocate(capacity: 64)

        init(service: RAMService, receiver: any BlockCompletionReceiver) {
            self.service = service
            self.receiver = receiver
        }

        deinit { requests.deallocate() }

        let requestCapacity = 64
        let hasOutstandingWork = false
        func submit(_ tags: UnsafeBufferPointer<UInt16>) { service.submit(tags.map { requests[Int($0)] }, receiver) }
        func wait(orReadable descriptor: Int32) {}
        func close() { service.lock.withLock { service.lanes -= 1 } }
    }
}
