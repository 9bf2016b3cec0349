/// A vital product data page (SPC-4, 7.8; SBC-3, 6.5).
package struct VitalProductDataPage: RawRepresentable, Hashable, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// The page code.
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Supported VPD Pages.
    package static var supportedPages: VitalProductDataPage { VitalProductDataPage(rawValue: 0x00) }
    /// Unit Serial Number.
    package static var unitSerialNumber: VitalProductDataPage { VitalProductDataPage(rawValue: 0x80) }
    /// Device Identification.
    package static var deviceIdentification: VitalProductDataPage { VitalProductDataPage(rawValue: 0x83) }
    /// Software Interface Identification.
    package static var softwareInterfaceIdentification: VitalProductDataPage {
        VitalProductDataPage(rawValue: 0x84)
    }
    /// Management Network Addresses.
    package static var managementNetworkAddresses: VitalProductDataPage {
        VitalProductDataPage(rawValue: 0x85)
    }
    /// Extended INQUIRY Data.
    package static var extendedInquiryData: VitalProductDataPage { VitalProductDataPage(rawValue: 0x86) }
    /// Mode Page Policy.
    package static var modePagePolicy: VitalProductDataPage { VitalProductDataPage(rawValue: 0x87) }
    /// SCSI Ports.
    package static var scsiPorts: VitalProductDataPage { VitalProductDataPage(rawValue: 0x88) }
    /// ATA Information (SAT-3).
    package static var ataInformation: VitalProductDataPage { VitalProductDataPage(rawValue: 0x89) }
    /// Power Condition.
    package static var powerCondition: VitalProductDataPage { VitalProductDataPage(rawValue: 0x8A) }
    /// Power Consumption.
    package static var powerConsumption: VitalProductDataPage { VitalProductDataPage(rawValue: 0x8D) }
    /// Third-Party Copy.
    package static var thirdPartyCopy: VitalProductDataPage { VitalProductDataPage(rawValue: 0x8F) }
    /// Protocol Specific Logical Unit Information.
    package static var protocolSpecificLogicalUnit: VitalProductDataPage {
        VitalProductDataPage(rawValue: 0x90)
    }
    /// Protocol Specific Port Information.
    package static var protocolSpecificPort: VitalProductDataPage { VitalProductDataPage(rawValue: 0x91) }
    /// Block Limits (SBC-3, 6.5.3).
    package static var blockLimits: VitalProductDataPage { VitalProductDataPage(rawValue: 0xB0) }
    /// Block Device Characteristics (SBC-3, 6.5.2).
    package static var blockDeviceCharacteristics: VitalProductDataPage {
        VitalProductDataPage(rawValue: 0xB1)
    }
    /// Logical Block Provisioning (SBC-3, 6.5.4).
    package static var logicalBlockProvisioning: VitalProductDataPage {
        VitalProductDataPage(rawValue: 0xB2)
    }
    /// Referrals (SBC-3).
    package static var referrals: VitalProductDataPage { VitalProductDataPage(rawValue: 0xB3) }

    /// The standard's name; nil for a page that is not listed here.
    package var name: String? {
        switch self {
        case .supportedPages: "Supported VPD Pages"
        case .unitSerialNumber: "Unit Serial Number"
        case .deviceIdentification: "Device Identification"
        case .softwareInterfaceIdentification: "Software Interface Identification"
        case .managementNetworkAddresses: "Management Network Addresses"
        case .extendedInquiryData: "Extended INQUIRY Data"
        case .modePagePolicy: "Mode Page Policy"
        case .scsiPorts: "SCSI Ports"
        case .ataInformation: "ATA Information"
        case .powerCondition: "Power Condition"
        case .powerConsumption: "Power Consumption"
        case .thirdPartyCopy: "Third-Party Copy"
        case .protocolSpecificLogicalUnit: "Protocol Specific Logical Unit Information"
        case .protocolSpecificPort: "Protocol Specific Port Information"
        case .blockLimits: "Block Limits"
        case .blockDeviceCharacteristics: "Block Device Characteristics"
        case .logicalBlockProvisioning: "Logical Block Provisioning"
        case .referrals: "Referrals"
        default: nil
        }
    }

    /// "Block Limits (B0h)", or "B9h" for a page that is not listed here.
    package var description: String {
        let code = "\(rawValue.hexadecimal)h"
        return name.map { "\($0) (\(code))" } ?? code
    }
}

/// A mode page (SPC-4, 7.5; SBC-3, 6.4).
package struct ModePage: RawRepresentable, Hashable, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// The page code.
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Read-Write Error Recovery (SBC-3).
    package static var readWriteErrorRecovery: ModePage { ModePage(rawValue: 0x01) }
    /// Disconnect-Reconnect (SPC-4).
    package static var disconnectReconnect: ModePage { ModePage(rawValue: 0x02) }
    /// Verify Error Recovery (SBC-3).
    package static var verifyErrorRecovery: ModePage { ModePage(rawValue: 0x07) }
    /// Caching (SBC-3, 6.4.5).
    package static var caching: ModePage { ModePage(rawValue: 0x08) }
    /// Control (SPC-4).
    package static var control: ModePage { ModePage(rawValue: 0x0A) }
    /// Protocol Specific Logical Unit (SPC-4).
    package static var protocolSpecificLogicalUnit: ModePage { ModePage(rawValue: 0x18) }
    /// Protocol Specific Port (SPC-4).
    package static var protocolSpecificPort: ModePage { ModePage(rawValue: 0x19) }
    /// Power Condition (SPC-4).
    package static var powerCondition: ModePage { ModePage(rawValue: 0x1A) }
    /// Informational Exceptions Control (SPC-4).
    package static var informationalExceptionsControl: ModePage { ModePage(rawValue: 0x1C) }
    /// all pages (SPC-4, 6.13).
    package static var all: ModePage { ModePage(rawValue: 0x3F) }

    /// The standard's name; nil for a page that is not listed here.
    package var name: String? {
        switch self {
        case .readWriteErrorRecovery: "Read-Write Error Recovery"
        case .disconnectReconnect: "Disconnect-Reconnect"
        case .verifyErrorRecovery: "Verify Error Recovery"
        case .caching: "Caching"
        case .control: "Control"
        case .protocolSpecificLogicalUnit: "Protocol Specific Logical Unit"
        case .protocolSpecificPort: "Protocol Specific Port"
        case .powerCondition: "Power Condition"
        case .informationalExceptionsControl: "Informational Exceptions Control"
        case .all: "All Pages"
        default: nil
        }
    }

    /// "Caching (08h)", or "2Ah" for a page that is not listed here.
    package var description: String {
        let code = "\(rawValue.hexadecimal)h"
        return name.map { "\($0) (\(code))" } ?? code
    }
}
