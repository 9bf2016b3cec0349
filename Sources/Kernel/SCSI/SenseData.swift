/// The reason why a command was refused or failed: sense key, additional sense code and qualifier (SPC-4, 4.5).
package struct SenseData: BitwiseCopyable, Sendable, Equatable {
    /// The kind of trouble.
    package var key: SenseKey
    /// The trouble itself.
    package var additional: AdditionalSenseCode

    /// Any pair of key and code.
    package init(_ key: SenseKey, _ additional: AdditionalSenseCode) {
        self.key = key
        self.additional = additional
    }

    /// NO SENSE: there is nothing to report.
    package static let none = SenseData(.noSense, .none)
    /// NOT READY, LOGICAL UNIT IS IN PROCESS OF BECOMING READY.
    package static let becomingReady = SenseData(.notReady, .becomingReady)
    /// MEDIUM ERROR, UNRECOVERED READ ERROR.
    package static let unrecoveredReadError = SenseData(.mediumError, .unrecoveredReadError)
    /// MEDIUM ERROR, WRITE ERROR.
    package static let writeError = SenseData(.mediumError, .writeError)
    /// ILLEGAL REQUEST, PARAMETER LIST LENGTH ERROR.
    package static let parameterListLengthError = SenseData(.illegalRequest, .parameterListLengthError)
    /// ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE.
    package static let invalidOperationCode = SenseData(.illegalRequest, .invalidOperationCode)
    /// ILLEGAL REQUEST, LOGICAL BLOCK ADDRESS OUT OF RANGE.
    package static let logicalBlockAddressOutOfRange = SenseData(.illegalRequest, .logicalBlockAddressOutOfRange)
    /// ILLEGAL REQUEST, INVALID FIELD IN CDB.
    package static let invalidFieldInCDB = SenseData(.illegalRequest, .invalidFieldInCDB)
    /// ILLEGAL REQUEST, LOGICAL UNIT NOT SUPPORTED.
    package static let logicalUnitNotSupported = SenseData(.illegalRequest, .logicalUnitNotSupported)
    /// ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST.
    package static let invalidFieldInParameterList = SenseData(.illegalRequest, .invalidFieldInParameterList)
    /// ILLEGAL REQUEST, SAVING PARAMETERS NOT SUPPORTED.
    package static let savingParametersNotSupported = SenseData(.illegalRequest, .savingParametersNotSupported)
    /// UNIT ATTENTION, POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    package static let powerOnOccurred = SenseData(.unitAttention, .powerOnOccurred)
    /// DATA PROTECT, WRITE PROTECTED.
    package static let writeProtected = SenseData(.dataProtect, .writeProtected)
    /// DATA PROTECT, SPACE ALLOCATION FAILED WRITE PROTECT: a thin disk has no room left.
    package static let spaceAllocationFailed = SenseData(.dataProtect, .spaceAllocationFailed)
    /// MISCOMPARE, MISCOMPARE DURING VERIFY OPERATION.
    package static let miscompare = SenseData(.miscompare, .miscompareDuringVerify)

    /// NOT READY, MEDIUM NOT PRESENT, whichever way it went.
    package var isMediumNotPresent: Bool { key == .notReady && additional.code == 0x3A }
    /// UNIT ATTENTION, NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED.
    package var isMediumChanged: Bool { key == .unitAttention && additional.code == 0x28 }

    /// Bytes of fixed-format sense data.
    package static let fixedByteCount = 18

    /// The data in fixed format, response code 70h, in the first 18 bytes (SPC-4, 4.5.3).
    package var fixedFormat: InlineArray<32, UInt8> {
        var bytes = InlineArray<32, UInt8>(repeating: 0)
        bytes[0] = 0x70
        bytes[2] = key.rawValue
        bytes[7] = UInt8(Self.fixedByteCount - 8)
        bytes[12] = additional.code
        bytes[13] = additional.qualifier
        return bytes
    }

    /// Decodes fixed format (70h, 71h; SPC-4, 4.5.3) or descriptor format (72h, 73h; SPC-4, 4.5.2).
    /// - Returns: nil if the data is too short or has another format.
    package init?(parsing bytes: InlineArray<32, UInt8>, byteCount: Int) {
        switch bytes[0] & 0x7F {
        case 0x70, 0x71:
            guard byteCount >= 14 else { return nil }
            self.init(SenseKey(lowBitsOf: bytes[2]), AdditionalSenseCode(bytes[12], bytes[13]))
        case 0x72, 0x73:
            guard byteCount >= 4 else { return nil }
            self.init(SenseKey(lowBitsOf: bytes[1]), AdditionalSenseCode(bytes[2], bytes[3]))
        default:
            return nil
        }
    }
}

extension SenseData: CustomStringConvertible {
    /// "05/24/00 (ILLEGAL REQUEST, INVALID FIELD IN CDB)".
    package var description: String {
        let numbers = [key.rawValue, additional.code, additional.qualifier].map(\.hexadecimal).joined(separator: "/")
        return "\(numbers) (\(key)\(additional.name.map { ", \($0)" } ?? ""))"
    }
}
