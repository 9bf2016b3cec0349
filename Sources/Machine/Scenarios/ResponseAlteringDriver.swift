import RAIDControllerInterface
import RAIDDriver
import SCSIControllerDriverKit

/// The reference driver with a mistake in its responses, which the subclass makes.
class ResponseAlteringDriver: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    /// Puts the mistake into a correct response.
    func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {}

    final override func fill(
        _ response: UnsafeMutablePointer<SCSIUserParallelResponse>, for task: UnsafePointer<SCSIUserParallelTask>,
        from completion: UnsafePointer<RAIDCompletionDescriptor>
    ) {
        super.fill(response, for: task, from: completion)
        alter(&response.pointee, of: task.pointee)
    }
}

extension SCSIUserParallelResponse {
    /// Makes it a CHECK CONDITION, with current sense data in the fixed format (SPC-4, 4.5.3).
    /// - Parameter senseByteCount: the reported size of the sense data, the first eight bytes included.
    mutating func fail(senseByteCount: UInt8, key: UInt8, code: UInt8, qualifier: UInt8) {
        fCompletionStatus = kSCSITaskStatus_CHECK_CONDITION
        fSenseLength = senseByteCount
        withUnsafeMutableBytes(of: &fSenseBuffer) { sense in
            sense[0] = 0x70
            sense[2] = key
            sense[7] = senseByteCount - 8
            sense[12] = code
            sense[13] = qualifier
        }
    }
}
