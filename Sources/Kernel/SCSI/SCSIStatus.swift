/// The status of a command that the device answered (SAM-5, 5.3.1).
///
/// SCSITaskStatus uses overlapping numbers for tasks that the device did not answer; those are no SCSIStatus.
@usableFromInline
package struct SCSIStatus: RawRepresentable, Hashable, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// The status byte.
    @usableFromInline package let rawValue: UInt8

    @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }

    // Not derived, since a derived one is not inlined into other modules.
    @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

    /// GOOD.
    @inlinable package static var good: SCSIStatus { SCSIStatus(rawValue: 0x00) }
    /// CHECK CONDITION.
    @inlinable package static var checkCondition: SCSIStatus { SCSIStatus(rawValue: 0x02) }
    /// CONDITION MET.
    @inlinable package static var conditionMet: SCSIStatus { SCSIStatus(rawValue: 0x04) }
    /// BUSY.
    @inlinable package static var busy: SCSIStatus { SCSIStatus(rawValue: 0x08) }
    /// RESERVATION CONFLICT.
    @inlinable package static var reservationConflict: SCSIStatus { SCSIStatus(rawValue: 0x18) }
    /// TASK SET FULL.
    @inlinable package static var taskSetFull: SCSIStatus { SCSIStatus(rawValue: 0x28) }
    /// ACA ACTIVE.
    @inlinable package static var acaActive: SCSIStatus { SCSIStatus(rawValue: 0x30) }
    /// TASK ABORTED.
    @inlinable package static var taskAborted: SCSIStatus { SCSIStatus(rawValue: 0x40) }

    /// The standard's name, or "status 55h".
    @usableFromInline package var description: String {
        switch self {
        case .good: "GOOD"
        case .checkCondition: "CHECK CONDITION"
        case .conditionMet: "CONDITION MET"
        case .busy: "BUSY"
        case .reservationConflict: "RESERVATION CONFLICT"
        case .taskSetFull: "TASK SET FULL"
        case .acaActive: "ACA ACTIVE"
        case .taskAborted: "TASK ABORTED"
        default: "status \(rawValue.hexadecimal)h"
        }
    }
}
