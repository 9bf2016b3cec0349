import RAIDControllerInterface
import RAIDDriver
import SCSIControllerDriverKit

/// The reference driver with a mistake in the responses that it writes: a subclass says which.
class ResponseAlteringDriver: RAIDDriver, @unchecked Sendable {
    /// Puts the mistake into a response that is right so far.
    func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {}

    final override func fill(
        _ response: UnsafeMutablePointer<SCSIUserParallelResponse>, for task: UnsafePointer<SCSIUserParallelTask>,
        from completion: UnsafePointer<RAIDCompletionDescriptor>
    ) {
        super.fill(response, for: task, from: completion)
        alter(&response.pointee, of: task.pointee)
    }
}
