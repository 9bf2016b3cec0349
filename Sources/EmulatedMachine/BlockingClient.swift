import BlockStorage
import Platform

/// Executes one request and waits for it: for the control plane, and for programs that drive the stack themselves.
package enum BlockingClient {
    /// - Returns: how the request ended. A device without a lane to spare counts as an I/O error.
    package static func execute(_ request: BlockRequest, on device: any BlockService) -> BlockError {
        let receiver = Receiver()
        guard let lane = try? device.makeLane(receiver: receiver) else { return .inputOutput }
        withUnsafePointer(to: request) { lane.submit(UnsafeBufferPointer(start: $0, count: 1)) }
        while lane.hasOutstandingWork { lane.wait(orReadable: -1) }
        receiver.done.wait()
        lane.close()
        return receiver.error
    }

    private final class Receiver: BlockCompletionReceiver, @unchecked Sendable {
        // SAFETY: written before `done` is set, read after.
        private(set) var error = BlockError.none
        let done = Event()

        func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {
            error = completions[0].error
            done.set()
        }
    }
}
