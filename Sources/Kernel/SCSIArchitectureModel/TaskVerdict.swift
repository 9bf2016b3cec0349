import ParallelInterface
import SCSI

/// The judgement on a task that came back.
enum TaskVerdict: Equatable {
    case done(byteCount: UInt64)
    case failed(BlockError)
    /// Send it again.
    case retry
    /// CHECK CONDITION came without sense data: ask for it.
    case fetchSense

    /// Judges an outcome.
    init(_ task: UnsafePointer<SCSITask>) {
        guard let status = task.pointee.status else {
            // The HBA or its driver failed. Another attempt may succeed unless the device is gone.
            self = task.pointee.isDeviceNotPresent ? .failed(.inputOutput) : .retry
            return
        }
        switch status {
        case .good: self = .done(byteCount: task.pointee.realizedTransferCount)
        case .checkCondition: self = Self.judge(task)
        case .reservationConflict: self = .failed(.inputOutput)
        // BUSY, TASK SET FULL and TASK ABORTED do not mean that the command is wrong.
        default: self = .retry
        }
    }

    private static func judge(_ task: UnsafePointer<SCSITask>) -> TaskVerdict {
        guard let sense = SenseData(parsing: task.pointee.sense, byteCount: Int(task.pointee.senseByteCount)) else {
            return .fetchSense
        }
        if sense.key == .recoveredError
            && task.pointee.realizedTransferCount == task.pointee.requestedTransferCount
        {
            return .done(byteCount: task.pointee.realizedTransferCount)
        }
        return verdict(on: sense)
    }

    /// Judges sense data. Refusals are final, and so are bad blocks, since the device has retried those itself. (IOKit
    /// sends the command again whatever the sense data.)
    static func verdict(on sense: SenseData) -> TaskVerdict {
        switch sense {
        case .spaceAllocationFailed: return .failed(.noSpace)
        case .writeProtected: return .failed(.readOnly)
        case .invalidOperationCode: return .failed(.notSupported)
        case .logicalBlockAddressOutOfRange: return .failed(.invalid)
        default: break
        }
        switch sense.key {
        case .illegalRequest, .mediumError, .miscompare: return .failed(.inputOutput)
        case .dataProtect: return .failed(.readOnly)
        default: return .retry
        }
    }
}
