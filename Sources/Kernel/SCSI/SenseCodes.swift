/// A sense key, four bits: the kind of trouble (SPC-4, 4.5).
package enum SenseKey: UInt8, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// NO SENSE.
    case noSense = 0x0
    /// RECOVERED ERROR: the command succeeded after the device helped itself.
    case recoveredError = 0x1
    /// NOT READY.
    case notReady = 0x2
    /// MEDIUM ERROR: the medium, or the data on it, is bad.
    case mediumError = 0x3
    /// HARDWARE ERROR.
    case hardwareError = 0x4
    /// ILLEGAL REQUEST: the CDB or its parameters are wrong.
    case illegalRequest = 0x5
    /// UNIT ATTENTION: the unit's state changed, and the command was not executed.
    case unitAttention = 0x6
    /// DATA PROTECT: the blocks must not be read or written.
    case dataProtect = 0x7
    /// BLANK CHECK.
    case blankCheck = 0x8
    /// VENDOR SPECIFIC.
    case vendorSpecific = 0x9
    /// COPY ABORTED.
    case copyAborted = 0xA
    /// ABORTED COMMAND: the device gave up; another attempt may succeed.
    case abortedCommand = 0xB
    /// RESERVED.
    case reserved = 0xC
    /// VOLUME OVERFLOW.
    case volumeOverflow = 0xD
    /// MISCOMPARE: the data differs from the medium.
    case miscompare = 0xE
    /// COMPLETED.
    case completed = 0xF

    /// The key in the low four bits of a byte; the others are ignored.
    init(lowBitsOf byte: UInt8) { self = SenseKey(rawValue: byte & 0x0F)! }

    /// The standard's name.
    package var description: String {
        switch self {
        case .noSense: "NO SENSE"
        case .recoveredError: "RECOVERED ERROR"
        case .notReady: "NOT READY"
        case .mediumError: "MEDIUM ERROR"
        case .hardwareError: "HARDWARE ERROR"
        case .illegalRequest: "ILLEGAL REQUEST"
        case .unitAttention: "UNIT ATTENTION"
        case .dataProtect: "DATA PROTECT"
        case .blankCheck: "BLANK CHECK"
        case .vendorSpecific: "VENDOR SPECIFIC"
        case .copyAborted: "COPY ABORTED"
        case .abortedCommand: "ABORTED COMMAND"
        case .reserved: "RESERVED"
        case .volumeOverflow: "VOLUME OVERFLOW"
        case .miscompare: "MISCOMPARE"
        case .completed: "COMPLETED"
        }
    }
}

/// An additional sense code with its qualifier (SPC-4, 4.5, and its annex of numeric order codes).
package struct AdditionalSenseCode: Hashable, BitwiseCopyable, Sendable {
    /// ADDITIONAL SENSE CODE (ASC).
    package let code: UInt8
    /// ADDITIONAL SENSE CODE QUALIFIER (ASCQ).
    package let qualifier: UInt8

    /// The code and its qualifier; any pair of bytes.
    package init(_ code: UInt8, _ qualifier: UInt8) {
        self.code = code
        self.qualifier = qualifier
    }

    /// NO ADDITIONAL SENSE INFORMATION.
    package static let none = AdditionalSenseCode(0x00, 0x00)
    /// LOGICAL UNIT IS IN PROCESS OF BECOMING READY.
    package static let becomingReady = AdditionalSenseCode(0x04, 0x01)
    /// WRITE ERROR.
    package static let writeError = AdditionalSenseCode(0x0C, 0x00)
    /// UNRECOVERED READ ERROR.
    package static let unrecoveredReadError = AdditionalSenseCode(0x11, 0x00)
    /// PARAMETER LIST LENGTH ERROR.
    package static let parameterListLengthError = AdditionalSenseCode(0x1A, 0x00)
    /// MISCOMPARE DURING VERIFY OPERATION.
    package static let miscompareDuringVerify = AdditionalSenseCode(0x1D, 0x00)
    /// INVALID COMMAND OPERATION CODE.
    package static let invalidOperationCode = AdditionalSenseCode(0x20, 0x00)
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    package static let logicalBlockAddressOutOfRange = AdditionalSenseCode(0x21, 0x00)
    /// INVALID FIELD IN CDB.
    package static let invalidFieldInCDB = AdditionalSenseCode(0x24, 0x00)
    /// LOGICAL UNIT NOT SUPPORTED.
    package static let logicalUnitNotSupported = AdditionalSenseCode(0x25, 0x00)
    /// INVALID FIELD IN PARAMETER LIST.
    package static let invalidFieldInParameterList = AdditionalSenseCode(0x26, 0x00)
    /// WRITE PROTECTED.
    package static let writeProtected = AdditionalSenseCode(0x27, 0x00)
    /// SPACE ALLOCATION FAILED WRITE PROTECT.
    package static let spaceAllocationFailed = AdditionalSenseCode(0x27, 0x07)
    /// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    package static let powerOnOccurred = AdditionalSenseCode(0x29, 0x00)
    /// SAVING PARAMETERS NOT SUPPORTED.
    package static let savingParametersNotSupported = AdditionalSenseCode(0x39, 0x00)

    /// The standard's name; nil for a code that is not listed here.
    package var name: String? { Self.names.first { $0.code == code && $0.qualifier == qualifier }?.name }

    /// Codes of direct access block devices, for messages.
    private static let names: [(code: UInt8, qualifier: UInt8, name: String)] = [
        (0x00, 0x00, "NO ADDITIONAL SENSE INFORMATION"),
        (0x04, 0x00, "LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE"),
        (0x04, 0x01, "LOGICAL UNIT IS IN PROCESS OF BECOMING READY"),
        (0x04, 0x02, "LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED"),
        (0x04, 0x03, "LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED"),
        (0x04, 0x04, "LOGICAL UNIT NOT READY, FORMAT IN PROGRESS"),
        (0x04, 0x09, "LOGICAL UNIT NOT READY, SELF-TEST IN PROGRESS"),
        (0x04, 0x0A, "LOGICAL UNIT NOT ACCESSIBLE, ASYMMETRIC ACCESS STATE TRANSITION"),
        (0x04, 0x0B, "LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE"),
        (0x04, 0x0C, "LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE"),
        (0x04, 0x12, "LOGICAL UNIT NOT READY, OFFLINE"),
        (0x08, 0x00, "LOGICAL UNIT COMMUNICATION FAILURE"),
        (0x08, 0x01, "LOGICAL UNIT COMMUNICATION TIME-OUT"),
        (0x0B, 0x00, "WARNING"),
        (0x0C, 0x00, "WRITE ERROR"),
        (0x0C, 0x02, "WRITE ERROR - AUTO REALLOCATION FAILED"),
        (0x10, 0x01, "LOGICAL BLOCK GUARD CHECK FAILED"),
        (0x11, 0x00, "UNRECOVERED READ ERROR"),
        (0x11, 0x04, "UNRECOVERED READ ERROR - AUTO REALLOCATE FAILED"),
        (0x15, 0x01, "MECHANICAL POSITIONING ERROR"),
        (0x17, 0x00, "RECOVERED DATA WITH NO ERROR CORRECTION APPLIED"),
        (0x17, 0x01, "RECOVERED DATA WITH RETRIES"),
        (0x18, 0x00, "RECOVERED DATA WITH ERROR CORRECTION APPLIED"),
        (0x1A, 0x00, "PARAMETER LIST LENGTH ERROR"),
        (0x1D, 0x00, "MISCOMPARE DURING VERIFY OPERATION"),
        (0x20, 0x00, "INVALID COMMAND OPERATION CODE"),
        (0x21, 0x00, "LOGICAL BLOCK ADDRESS OUT OF RANGE"),
        (0x24, 0x00, "INVALID FIELD IN CDB"),
        (0x25, 0x00, "LOGICAL UNIT NOT SUPPORTED"),
        (0x26, 0x00, "INVALID FIELD IN PARAMETER LIST"),
        (0x27, 0x00, "WRITE PROTECTED"),
        (0x27, 0x01, "HARDWARE WRITE PROTECTED"),
        (0x27, 0x02, "LOGICAL UNIT SOFTWARE WRITE PROTECTED"),
        (0x27, 0x07, "SPACE ALLOCATION FAILED WRITE PROTECT"),
        (0x28, 0x00, "NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED"),
        (0x29, 0x00, "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED"),
        (0x29, 0x01, "POWER ON OCCURRED"),
        (0x29, 0x02, "SCSI BUS RESET OCCURRED"),
        (0x29, 0x03, "BUS DEVICE RESET FUNCTION OCCURRED"),
        (0x29, 0x04, "DEVICE INTERNAL RESET"),
        (0x29, 0x07, "I_T NEXUS LOSS OCCURRED"),
        (0x2A, 0x01, "MODE PARAMETERS CHANGED"),
        (0x2A, 0x09, "CAPACITY DATA HAS CHANGED"),
        (0x2C, 0x00, "COMMAND SEQUENCE ERROR"),
        (0x2F, 0x00, "COMMANDS CLEARED BY ANOTHER INITIATOR"),
        (0x31, 0x00, "MEDIUM FORMAT CORRUPTED"),
        (0x38, 0x07, "THIN PROVISIONING SOFT THRESHOLD REACHED"),
        (0x39, 0x00, "SAVING PARAMETERS NOT SUPPORTED"),
        (0x3A, 0x00, "MEDIUM NOT PRESENT"),
        (0x3E, 0x01, "LOGICAL UNIT FAILURE"),
        (0x3E, 0x02, "TIMEOUT ON LOGICAL UNIT"),
        (0x3F, 0x01, "MICROCODE HAS BEEN CHANGED"),
        (0x3F, 0x03, "INQUIRY DATA HAS CHANGED"),
        (0x3F, 0x0E, "REPORTED LUNS DATA HAS CHANGED"),
        (0x44, 0x00, "INTERNAL TARGET FAILURE"),
        (0x47, 0x00, "SCSI PARITY ERROR"),
        (0x49, 0x00, "INVALID MESSAGE ERROR"),
        (0x4B, 0x00, "DATA PHASE ERROR"),
        (0x4E, 0x00, "OVERLAPPED COMMANDS ATTEMPTED"),
        (0x53, 0x02, "MEDIUM REMOVAL PREVENTED"),
        (0x5D, 0x00, "FAILURE PREDICTION THRESHOLD EXCEEDED"),
    ]
}
