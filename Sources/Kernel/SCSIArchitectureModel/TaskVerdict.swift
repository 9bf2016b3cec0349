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

    /// SCSIServiceResponse of a task that the device answered.
    static let taskComplete: UInt8 = 2
    /// SCSITaskStatus of tasks that were not delivered.
    static let deviceNotResponding: UInt8 = 3
    static let deviceNotPresent: UInt8 = 4
    /// SCSITaskStatus of tasks that the device answered (SAM-5, 5.3.1).
    static let good: UInt8 = 0x00
    static let checkCondition: UInt8 = 0x02
    static let reservationConflict: UInt8 = 0x18

    /// Judges an outcome. Service response and status are decoded together, since their numbers overlap.
    init(_ task: UnsafePointer<SCSITask>) {
        guard task.pointee.serviceResponse == Self.taskComplete else {
            // The HBA or its driver failed. Another attempt may succeed unless the device is gone.
            self = task.pointee.taskStatus == Self.deviceNotPresent ? .failed(.inputOutput) : .retry
            return
        }
        switch task.pointee.taskStatus {
        case Self.good: self = .done(byteCount: task.pointee.realizedTransferCount)
        case Self.checkCondition: self = Self.judge(task)
        case Self.reservationConflict: self = .failed(.inputOutput)
        // BUSY, TASK SET FULL and TASK ABORTED do not mean that the command is wrong.
        default: self = .retry
        }
    }

    private static func judge(_ task: UnsafePointer<SCSITask>) -> TaskVerdict {
        guard let sense = SenseData(parsing: task.pointee.sense, byteCount: Int(task.pointee.senseByteCount)) else {
            return .fetchSense
        }
        if sense.key == SenseData.keyRecoveredError
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
        case SenseData.keyIllegalRequest, SenseData.keyMediumError, SenseData.miscompare.key:
            return .failed(.inputOutput)
        case SenseData.keyDataProtect: return .failed(.readOnly)
        default: return .retry
        }
    }
}
