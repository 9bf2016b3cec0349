extension OperationCode: CustomStringConvertible {
    /// The standard's name; nil for a code that is not listed in `OperationCode`.
    package var name: String? {
        switch self {
        case .testUnitReady: "TEST UNIT READY"
        case .requestSense: "REQUEST SENSE"
        case .formatUnit: "FORMAT UNIT"
        case .reassignBlocks: "REASSIGN BLOCKS"
        case .read6: "READ(6)"
        case .write6: "WRITE(6)"
        case .inquiry: "INQUIRY"
        case .modeSelect6: "MODE SELECT(6)"
        case .reserve6: "RESERVE(6)"
        case .release6: "RELEASE(6)"
        case .modeSense6: "MODE SENSE(6)"
        case .startStopUnit: "START STOP UNIT"
        case .receiveDiagnosticResults: "RECEIVE DIAGNOSTIC RESULTS"
        case .sendDiagnostic: "SEND DIAGNOSTIC"
        case .preventAllowMediumRemoval: "PREVENT ALLOW MEDIUM REMOVAL"
        case .readCapacity10: "READ CAPACITY(10)"
        case .read10: "READ(10)"
        case .write10: "WRITE(10)"
        case .writeAndVerify10: "WRITE AND VERIFY(10)"
        case .verify10: "VERIFY(10)"
        case .preFetch10: "PRE-FETCH(10)"
        case .synchronizeCache10: "SYNCHRONIZE CACHE(10)"
        case .readDefectData10: "READ DEFECT DATA(10)"
        case .writeBuffer: "WRITE BUFFER"
        case .readBuffer: "READ BUFFER"
        case .readLong10: "READ LONG(10)"
        case .writeLong10: "WRITE LONG(10)"
        case .writeSame10: "WRITE SAME(10)"
        case .unmap: "UNMAP"
        case .sanitize: "SANITIZE"
        case .logSelect: "LOG SELECT"
        case .logSense: "LOG SENSE"
        case .modeSelect10: "MODE SELECT(10)"
        case .modeSense10: "MODE SENSE(10)"
        case .persistentReserveIn: "PERSISTENT RESERVE IN"
        case .persistentReserveOut: "PERSISTENT RESERVE OUT"
        case .variableLength: "VARIABLE LENGTH CDB"
        case .thirdPartyCopyOut: "THIRD-PARTY COPY OUT"
        case .thirdPartyCopyIn: "THIRD-PARTY COPY IN"
        case .ataPassThrough16: "ATA PASS-THROUGH(16)"
        case .read16: "READ(16)"
        case .compareAndWrite: "COMPARE AND WRITE"
        case .write16: "WRITE(16)"
        case .orWrite16: "ORWRITE(16)"
        case .writeAndVerify16: "WRITE AND VERIFY(16)"
        case .verify16: "VERIFY(16)"
        case .preFetch16: "PRE-FETCH(16)"
        case .synchronizeCache16: "SYNCHRONIZE CACHE(16)"
        case .writeSame16: "WRITE SAME(16)"
        case .serviceActionIn16: "SERVICE ACTION IN(16)"
        case .serviceActionOut16: "SERVICE ACTION OUT(16)"
        case .reportLUNs: "REPORT LUNS"
        case .ataPassThrough12: "ATA PASS-THROUGH(12)"
        case .securityProtocolIn: "SECURITY PROTOCOL IN"
        case .maintenanceIn: "MAINTENANCE IN"
        case .maintenanceOut: "MAINTENANCE OUT"
        case .read12: "READ(12)"
        case .write12: "WRITE(12)"
        case .writeAndVerify12: "WRITE AND VERIFY(12)"
        case .verify12: "VERIFY(12)"
        case .securityProtocolOut: "SECURITY PROTOCOL OUT"
        case .readDefectData12: "READ DEFECT DATA(12)"
        default: nil
        }
    }

    /// The standard's name, or "operation C1h".
    @usableFromInline package var description: String { name ?? "operation \(rawValue.hexadecimal)h" }
}

/// A command's service action: the low five bits of byte 1 of its CDB, for operation codes that have several commands.
package struct ServiceAction: RawRepresentable, Hashable, BitwiseCopyable, Sendable {
    /// The five bits.
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// READ CAPACITY (16), of SERVICE ACTION IN (16) (SBC-3, 5.16).
    package static let readCapacity16 = ServiceAction(rawValue: 0x10)
    /// READ LONG (16), of SERVICE ACTION IN (16) (SBC-3, 5.20).
    package static let readLong16 = ServiceAction(rawValue: 0x11)
    /// GET LBA STATUS, of SERVICE ACTION IN (16) (SBC-3, 5.4).
    package static let getLBAStatus = ServiceAction(rawValue: 0x12)
    /// REPORT TARGET PORT GROUPS, of MAINTENANCE IN (SPC-4).
    package static let reportTargetPortGroups = ServiceAction(rawValue: 0x0A)
    /// REPORT SUPPORTED OPERATION CODES, of MAINTENANCE IN (SPC-4).
    package static let reportSupportedOperationCodes = ServiceAction(rawValue: 0x0C)
    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, of MAINTENANCE IN (SPC-4).
    package static let reportSupportedTaskManagementFunctions = ServiceAction(rawValue: 0x0D)
}

extension CommandDescriptorBlock {
    /// The standard's name of the command; that of the service action where the operation code has several commands.
    package var name: String {
        switch (operationCode, serviceAction) {
        case (.serviceActionIn16, .readCapacity16): "READ CAPACITY(16)"
        case (.serviceActionIn16, .readLong16): "READ LONG(16)"
        case (.serviceActionIn16, .getLBAStatus): "GET LBA STATUS"
        case (.maintenanceIn, .reportTargetPortGroups): "REPORT TARGET PORT GROUPS"
        case (.maintenanceIn, .reportSupportedOperationCodes): "REPORT SUPPORTED OPERATION CODES"
        case (.maintenanceIn, .reportSupportedTaskManagementFunctions): "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS"
        default: operationCode.description
        }
    }

    /// The command's name, with the page that an INQUIRY or a MODE SENSE asks for.
    package var summary: String {
        switch operationCode {
        case .inquiry where bytes[1] & 1 != 0: "\(name) of page \(VitalProductDataPage(rawValue: bytes[2]))"
        case .modeSense6, .modeSense10: "\(name) of page \(ModePage(rawValue: bytes[2] & 0x3F))"
        default: name
        }
    }
}

extension UInt8 {
    /// Two hexadecimal digits, as the standards print codes.
    var hexadecimal: String {
        let text = String(self, radix: 16, uppercase: true)
        return text.count == 1 ? "0" + text : text
    }
}
