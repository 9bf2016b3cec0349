import ParallelInterface
import SCSI

/// What becomes of a task that came back.
enum TaskVerdict: Equatable {
    case done(byteCount: UInt64)
    case failed(BlockError)
    /// Send it again.
    case retry
    /// The device has sense data that did not come with the status.
    case fetchSense

    /// SCSIServiceResponse: the device answered.
    static let taskComplete: UInt8 = 2
    /// SCSITaskStatus of a task that was not delivered.
    static let deviceNotResponding: UInt8 = 3
    static let deviceNotPresent: UInt8 = 4
    /// SCSITaskStatus of a task that the device answered.
    static let good: UInt8 = 0x00
    static let checkCondition: UInt8 = 0x02
    static let reservationConflict: UInt8 = 0x18

    /// Judges the outcome. Service response and status are decoded as a pair, since their numbers overlap.
    init(_ task: UnsafePointer<SCSITask>) {
        guard task.pointee.serviceResponse == Self.taskComplete else {
            // The HBA or its driver failed; another try may go through, unless the device is gone.
            self = task.pointee.taskStatus == Self.deviceNotPresent ? .failed(.inputOutput) : .retry
            return
        }
        switch task.pointee.taskStatus {
        case Self.good: self = .done(byteCount: task.pointee.realizedTransferCount)
        case Self.checkCondition: self = Self.judge(task)
        case Self.reservationConflict: self = .failed(.inputOutput)
        // BUSY, TASK SET FULL, TASK ABORTED: none of them says that the command is wrong.
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

    /// What sense data means. Refusals and bad blocks are not tried again: asking twice does not make a wrong request
    /// right, and the device tried itself before it gave a block up. (IOKit does try again whatever the sense.)
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
