/// A command's operation code: byte 0 of its CDB (SPC-4, 4.3).
///
/// Codes that no target here executes are listed too, so that messages can name them.
@usableFromInline package struct OperationCode: RawRepresentable, Hashable, BitwiseCopyable, Sendable {
    /// The byte.
    @usableFromInline package let rawValue: UInt8

    @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }

    // Not derived, since a derived one is not inlined into other modules.
    @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

    /// Whether the command is a READ of logical blocks, of any length.
    @inlinable package var isRead: Bool { self == .read10 || self == .read16 || self == .read12 || self == .read6 }

    /// Whether the command is a WRITE of logical blocks, of any length.
    @inlinable package var isWrite: Bool { self == .write10 || self == .write16 || self == .write12 || self == .write6 }

    /// Whether the command's data, if any, goes to the device. Only commands that `DirectAccessTarget` executes count.
    @inlinable package var takesData: Bool {
        isWrite || self == .verify10 || self == .verify16 || self == .unmap || self == .writeSame16
    }

    // MARK: Codes

    /// TEST UNIT READY (SPC-4, 6.47).
    @inlinable package static var testUnitReady: OperationCode { OperationCode(rawValue: 0x00) }
    /// REQUEST SENSE (SPC-4, 6.39).
    @inlinable package static var requestSense: OperationCode { OperationCode(rawValue: 0x03) }
    /// FORMAT UNIT (SBC-3, 5.3).
    @inlinable package static var formatUnit: OperationCode { OperationCode(rawValue: 0x04) }
    /// REASSIGN BLOCKS (SBC-3, 5.21).
    @inlinable package static var reassignBlocks: OperationCode { OperationCode(rawValue: 0x07) }
    /// READ(6) (SBC-2).
    @inlinable package static var read6: OperationCode { OperationCode(rawValue: 0x08) }
    /// WRITE(6) (SBC-2).
    @inlinable package static var write6: OperationCode { OperationCode(rawValue: 0x0A) }
    /// INQUIRY (SPC-4, 6.6).
    @inlinable package static var inquiry: OperationCode { OperationCode(rawValue: 0x12) }
    /// MODE SELECT(6) (SPC-4, 6.11).
    @inlinable package static var modeSelect6: OperationCode { OperationCode(rawValue: 0x15) }
    /// RESERVE(6) (SPC-2).
    @inlinable package static var reserve6: OperationCode { OperationCode(rawValue: 0x16) }
    /// RELEASE(6) (SPC-2).
    @inlinable package static var release6: OperationCode { OperationCode(rawValue: 0x17) }
    /// MODE SENSE(6) (SPC-4, 6.13).
    @inlinable package static var modeSense6: OperationCode { OperationCode(rawValue: 0x1A) }
    /// START STOP UNIT (SBC-3, 5.25).
    @inlinable package static var startStopUnit: OperationCode { OperationCode(rawValue: 0x1B) }
    /// RECEIVE DIAGNOSTIC RESULTS (SPC-4).
    @inlinable package static var receiveDiagnosticResults: OperationCode { OperationCode(rawValue: 0x1C) }
    /// SEND DIAGNOSTIC (SPC-4).
    @inlinable package static var sendDiagnostic: OperationCode { OperationCode(rawValue: 0x1D) }
    /// PREVENT ALLOW MEDIUM REMOVAL (SBC-3, 5.10).
    @inlinable package static var preventAllowMediumRemoval: OperationCode { OperationCode(rawValue: 0x1E) }
    /// READ CAPACITY(10) (SBC-3, 5.15).
    @inlinable package static var readCapacity10: OperationCode { OperationCode(rawValue: 0x25) }
    /// READ(10) (SBC-3, 5.11).
    @inlinable package static var read10: OperationCode { OperationCode(rawValue: 0x28) }
    /// WRITE(10) (SBC-3, 5.33).
    @inlinable package static var write10: OperationCode { OperationCode(rawValue: 0x2A) }
    /// WRITE AND VERIFY(10) (SBC-3, 5.37).
    @inlinable package static var writeAndVerify10: OperationCode { OperationCode(rawValue: 0x2E) }
    /// VERIFY(10) (SBC-3, 5.29).
    @inlinable package static var verify10: OperationCode { OperationCode(rawValue: 0x2F) }
    /// PRE-FETCH(10) (SBC-3, 5.8).
    @inlinable package static var preFetch10: OperationCode { OperationCode(rawValue: 0x34) }
    /// SYNCHRONIZE CACHE(10) (SBC-3, 5.26).
    @inlinable package static var synchronizeCache10: OperationCode { OperationCode(rawValue: 0x35) }
    /// READ DEFECT DATA(10) (SBC-3, 5.17).
    @inlinable package static var readDefectData10: OperationCode { OperationCode(rawValue: 0x37) }
    /// WRITE BUFFER (SPC-4, 6.49).
    @inlinable package static var writeBuffer: OperationCode { OperationCode(rawValue: 0x3B) }
    /// READ BUFFER (SPC-4).
    @inlinable package static var readBuffer: OperationCode { OperationCode(rawValue: 0x3C) }
    /// READ LONG(10) (SBC-3, 5.19).
    @inlinable package static var readLong10: OperationCode { OperationCode(rawValue: 0x3E) }
    /// WRITE LONG(10) (SBC-3, 5.41).
    @inlinable package static var writeLong10: OperationCode { OperationCode(rawValue: 0x3F) }
    /// WRITE SAME(10) (SBC-3, 5.43).
    @inlinable package static var writeSame10: OperationCode { OperationCode(rawValue: 0x41) }
    /// UNMAP (SBC-3, 5.28).
    @inlinable package static var unmap: OperationCode { OperationCode(rawValue: 0x42) }
    /// SANITIZE (SBC-3).
    @inlinable package static var sanitize: OperationCode { OperationCode(rawValue: 0x48) }
    /// LOG SELECT (SPC-4, 6.7).
    @inlinable package static var logSelect: OperationCode { OperationCode(rawValue: 0x4C) }
    /// LOG SENSE (SPC-4, 6.8).
    @inlinable package static var logSense: OperationCode { OperationCode(rawValue: 0x4D) }
    /// MODE SELECT(10) (SPC-4, 6.12).
    @inlinable package static var modeSelect10: OperationCode { OperationCode(rawValue: 0x55) }
    /// MODE SENSE(10) (SPC-4, 6.14).
    @inlinable package static var modeSense10: OperationCode { OperationCode(rawValue: 0x5A) }
    /// PERSISTENT RESERVE IN (SPC-4, 6.15).
    @inlinable package static var persistentReserveIn: OperationCode { OperationCode(rawValue: 0x5E) }
    /// PERSISTENT RESERVE OUT (SPC-4, 6.16).
    @inlinable package static var persistentReserveOut: OperationCode { OperationCode(rawValue: 0x5F) }
    /// VARIABLE LENGTH CDB (SPC-4, 4.3).
    @inlinable package static var variableLength: OperationCode { OperationCode(rawValue: 0x7F) }
    /// THIRD-PARTY COPY OUT (SPC-4).
    @inlinable package static var thirdPartyCopyOut: OperationCode { OperationCode(rawValue: 0x83) }
    /// THIRD-PARTY COPY IN (SPC-4).
    @inlinable package static var thirdPartyCopyIn: OperationCode { OperationCode(rawValue: 0x84) }
    /// ATA PASS-THROUGH(16) (SAT-3).
    @inlinable package static var ataPassThrough16: OperationCode { OperationCode(rawValue: 0x85) }
    /// READ(16) (SBC-3, 5.13).
    @inlinable package static var read16: OperationCode { OperationCode(rawValue: 0x88) }
    /// COMPARE AND WRITE (SBC-3, 5.2).
    @inlinable package static var compareAndWrite: OperationCode { OperationCode(rawValue: 0x89) }
    /// WRITE(16) (SBC-3, 5.35).
    @inlinable package static var write16: OperationCode { OperationCode(rawValue: 0x8A) }
    /// ORWRITE(16) (SBC-3, 5.5).
    @inlinable package static var orWrite16: OperationCode { OperationCode(rawValue: 0x8B) }
    /// WRITE AND VERIFY(16) (SBC-3, 5.39).
    @inlinable package static var writeAndVerify16: OperationCode { OperationCode(rawValue: 0x8E) }
    /// VERIFY(16) (SBC-3, 5.31).
    @inlinable package static var verify16: OperationCode { OperationCode(rawValue: 0x8F) }
    /// PRE-FETCH(16) (SBC-3, 5.9).
    @inlinable package static var preFetch16: OperationCode { OperationCode(rawValue: 0x90) }
    /// SYNCHRONIZE CACHE(16) (SBC-3, 5.27).
    @inlinable package static var synchronizeCache16: OperationCode { OperationCode(rawValue: 0x91) }
    /// WRITE SAME(16) (SBC-3, 5.44).
    @inlinable package static var writeSame16: OperationCode { OperationCode(rawValue: 0x93) }
    /// SERVICE ACTION IN(16) (SPC-4).
    @inlinable package static var serviceActionIn16: OperationCode { OperationCode(rawValue: 0x9E) }
    /// SERVICE ACTION OUT(16) (SPC-4).
    @inlinable package static var serviceActionOut16: OperationCode { OperationCode(rawValue: 0x9F) }
    /// REPORT LUNS (SPC-4, 6.33).
    @inlinable package static var reportLUNs: OperationCode { OperationCode(rawValue: 0xA0) }
    /// ATA PASS-THROUGH(12) (SAT-3).
    @inlinable package static var ataPassThrough12: OperationCode { OperationCode(rawValue: 0xA1) }
    /// SECURITY PROTOCOL IN (SPC-4).
    @inlinable package static var securityProtocolIn: OperationCode { OperationCode(rawValue: 0xA2) }
    /// MAINTENANCE IN (SPC-4).
    @inlinable package static var maintenanceIn: OperationCode { OperationCode(rawValue: 0xA3) }
    /// MAINTENANCE OUT (SPC-4).
    @inlinable package static var maintenanceOut: OperationCode { OperationCode(rawValue: 0xA4) }
    /// READ(12) (SBC-3, 5.12).
    @inlinable package static var read12: OperationCode { OperationCode(rawValue: 0xA8) }
    /// WRITE(12) (SBC-3, 5.34).
    @inlinable package static var write12: OperationCode { OperationCode(rawValue: 0xAA) }
    /// WRITE AND VERIFY(12) (SBC-3, 5.38).
    @inlinable package static var writeAndVerify12: OperationCode { OperationCode(rawValue: 0xAE) }
    /// VERIFY(12) (SBC-3, 5.30).
    @inlinable package static var verify12: OperationCode { OperationCode(rawValue: 0xAF) }
    /// SECURITY PROTOCOL OUT (SPC-4).
    @inlinable package static var securityProtocolOut: OperationCode { OperationCode(rawValue: 0xB5) }
    /// READ DEFECT DATA(12) (SBC-3, 5.18).
    @inlinable package static var readDefectData12: OperationCode { OperationCode(rawValue: 0xB7) }
}
