/// The reason why a command was refused or failed: sense key, additional sense code and qualifier (SPC-4, 4.5).
package struct SenseData: BitwiseCopyable, Sendable, Equatable {
    /// The sense key, four bits: the kind of trouble.
    package var key: UInt8
    /// The additional sense code (ASC).
    package var code: UInt8
    /// The additional sense code qualifier (ASCQ).
    package var qualifier: UInt8

    package init(_ key: UInt8, _ code: UInt8, _ qualifier: UInt8) {
        self.key = key
        self.code = code
        self.qualifier = qualifier
    }

    // Sense keys (SPC-4, 4.5).
    /// NO SENSE.
    package static let keyNoSense: UInt8 = 0x0
    /// RECOVERED ERROR: the command succeeded after the device helped itself.
    package static let keyRecoveredError: UInt8 = 0x1
    /// NOT READY.
    package static let keyNotReady: UInt8 = 0x2
    /// MEDIUM ERROR: the medium, or the data on it, is bad.
    package static let keyMediumError: UInt8 = 0x3
    /// ILLEGAL REQUEST: the CDB or the parameters are wrong.
    package static let keyIllegalRequest: UInt8 = 0x5
    /// UNIT ATTENTION: the state changed; the command was not executed.
    package static let keyUnitAttention: UInt8 = 0x6
    /// DATA PROTECT: the blocks must not be read or written.
    package static let keyDataProtect: UInt8 = 0x7
    /// ABORTED COMMAND: the device gave up; another try may succeed.
    package static let keyAbortedCommand: UInt8 = 0xB

    // Sense keys with additional sense codes and qualifiers (SPC-4, 4.5).

    /// NO ADDITIONAL SENSE INFORMATION.
    package static let none = SenseData(0x0, 0x00, 0x00)
    /// LOGICAL UNIT IS IN PROCESS OF BECOMING READY.
    package static let becomingReady = SenseData(0x2, 0x04, 0x01)
    /// UNRECOVERED READ ERROR.
    package static let unrecoveredReadError = SenseData(0x3, 0x11, 0x00)
    /// WRITE ERROR, as a MEDIUM ERROR.
    package static let writeError = SenseData(0x3, 0x0C, 0x00)
    /// PARAMETER LIST LENGTH ERROR.
    package static let parameterListLengthError = SenseData(0x5, 0x1A, 0x00)
    /// INVALID COMMAND OPERATION CODE.
    package static let invalidOperationCode = SenseData(0x5, 0x20, 0x00)
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    package static let logicalBlockAddressOutOfRange = SenseData(0x5, 0x21, 0x00)
    /// INVALID FIELD IN CDB.
    package static let invalidFieldInCDB = SenseData(0x5, 0x24, 0x00)
    /// LOGICAL UNIT NOT SUPPORTED.
    package static let logicalUnitNotSupported = SenseData(0x5, 0x25, 0x00)
    /// INVALID FIELD IN PARAMETER LIST.
    package static let invalidFieldInParameterList = SenseData(0x5, 0x26, 0x00)
    /// SAVING PARAMETERS NOT SUPPORTED.
    package static let savingParametersNotSupported = SenseData(0x5, 0x39, 0x00)
    /// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    package static let powerOnOccurred = SenseData(0x6, 0x29, 0x00)
    /// WRITE PROTECTED.
    package static let writeProtected = SenseData(0x7, 0x27, 0x00)
    /// SPACE ALLOCATION FAILED WRITE PROTECT: a thin disk has no room left.
    package static let spaceAllocationFailed = SenseData(0x7, 0x27, 0x07)
    /// MISCOMPARE DURING VERIFY OPERATION.
    package static let miscompare = SenseData(0xE, 0x1D, 0x00)

    /// Bytes of fixed-format sense data.
    package static let fixedByteCount = 18

    /// The data in fixed format, response code 70h, in the first 18 bytes (SPC-4, 4.5.3).
    package var fixedFormat: InlineArray<32, UInt8> {
        var bytes = InlineArray<32, UInt8>(repeating: 0)
        bytes[0] = 0x70
        bytes[2] = key
        bytes[7] = UInt8(Self.fixedByteCount - 8)
        bytes[12] = code
        bytes[13] = qualifier
        return bytes
    }

    /// Decodes fixed format (70h, 71h; SPC-4, 4.5.3) or descriptor format (72h, 73h; SPC-4, 4.5.2).
    /// - Returns: nil if the data is too short or has another format.
    package init?(parsing bytes: InlineArray<32, UInt8>, byteCount: Int) {
        switch bytes[0] & 0x7F {
        case 0x70, 0x71:
            guard byteCount >= 14 else { return nil }
            self.init(bytes[2] & 0x0F, bytes[12], bytes[13])
        case 0x72, 0x73:
            guard byteCount >= 4 else { return nil }
            self.init(bytes[1] & 0x0F, bytes[2], bytes[3])
        default:
            return nil
        }
    }
}

extension SenseData: CustomStringConvertible {
    /// "05/24/00".
    package var description: String {
        [key, code, qualifier].map { value in
            let text = String(value, radix: 16, uppercase: true)
            return text.count == 1 ? "0" + text : text
        }.joined(separator: "/")
    }
}
