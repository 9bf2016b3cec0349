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

    private static let taskComplete: UInt8 = 2

    /// Judges the outcome. Service response and status are decoded as a pair, since their numbers overlap.
    init(_ task: UnsafePointer<SCSITask>) {
        guard task.pointee.serviceResponse == Self.taskComplete else {
            // The HBA or its driver failed; another try may go through.
            self = .retry
            return
        }
        switch task.pointee.taskStatus {
        case 0x00: self = .done(byteCount: task.pointee.realizedTransferCount)
        case 0x02: self = Self.judge(task)
        case 0x08, 0x28: self = .retry
        default: self = .failed(.inputOutput)
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

    /// What sense data means. Refusals are not tried again: asking twice does not make a wrong request right. (IOKit
    /// does try again whatever the sense.)
    static func verdict(on sense: SenseData) -> TaskVerdict {
        switch sense {
        case .spaceAllocationFailed: return .failed(.noSpace)
        case .writeProtected: return .failed(.readOnly)
        case .invalidOperationCode: return .failed(.notSupported)
        case .logicalBlockAddressOutOfRange: return .failed(.invalid)
        default: break
        }
        switch sense.key {
        case SenseData.keyIllegalRequest, SenseData.keyMediumError, 0xE: return .failed(.inputOutput)
        case SenseData.keyDataProtect: return .failed(.readOnly)
        default: return .retry
        }
    }
}
