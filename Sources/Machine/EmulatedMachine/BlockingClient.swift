import BlockStorage
import Platform

/// Executes requests and waits for them. It serves the control plane, and programs that drive the stack themselves.
package enum BlockingClient {
    /// Executes one request.
    /// - Returns: how it ended. A device without a lane to spare counts as an I/O error.
    package static func execute(_ request: BlockRequest, on device: any BlockService) -> BlockError {
        execute([request], on: device)[0]
    }

    /// Starts all requests at once.
    /// - Parameters:
    ///   - requests: at most as many as a lane takes; their tags are set here.
    ///   - waiting: returns when the event is set; called when the lane has nothing left to do.
    /// - Returns: how each ended, in the same order.
    package static func execute(
        _ requests: [BlockRequest], on device: any BlockService, waiting: (OneShotEvent) -> Void = { $0.wait() }
    ) -> [BlockError] {
        let receiver = Receiver(count: requests.count)
        guard let lane = try? device.makeLane(receiver: receiver) else {
            return requests.map { _ in .inputOutput }
        }
        var tagged = requests
        for index in tagged.indices { tagged[index].tag = UInt16(index) }
        tagged.withUnsafeBufferPointer { lane.submit($0) }
        while lane.hasOutstandingWork { lane.wait(orReadable: -1) }
        waiting(receiver.done)
        lane.close()
        return receiver.errors
    }

    private final class Receiver: BlockCompletionReceiver, @unchecked Sendable {
        // SAFETY: written under `lock` before `done` is set, read after.
        private(set) var errors: [BlockError]
        private var left: Int
        private let lock = Lock()
        let done = OneShotEvent()

        init(count: Int) {
            errors = Array(repeating: .none, count: count)
            left = count
        }

        func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {
            let isLast = lock.withLock {
                for completion in completions { errors[Int(completion.tag)] = completion.error }
                left -= completions.count
                return left == 0
            }
            if isLast { done.set() }
        }
    }
}
