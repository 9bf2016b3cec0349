/// The operation codes of SPC-4 and SBC-3 that are built or answered here (byte 0 of a CDB).
package enum OperationCode {
    /// TEST UNIT READY (SPC-4, 6.47).
    package static let testUnitReady: UInt8 = 0x00
    /// REQUEST SENSE (SPC-4, 6.39).
    package static let requestSense: UInt8 = 0x03
    /// READ (6): 21 bits of address, 8 of count (SBC-2).
    package static let read6: UInt8 = 0x08
    /// WRITE (6), laid out like READ (6) (SBC-2).
    package static let write6: UInt8 = 0x0A
    /// INQUIRY (SPC-4, 6.6).
    package static let inquiry: UInt8 = 0x12
    /// MODE SENSE (6) (SPC-4, 6.13).
    package static let modeSense6: UInt8 = 0x1A
    /// START STOP UNIT (SBC-3, 5.25).
    package static let startStopUnit: UInt8 = 0x1B
    /// READ CAPACITY (10) (SBC-3, 5.15).
    package static let readCapacity10: UInt8 = 0x25
    /// READ (10) (SBC-3, 5.11).
    package static let read10: UInt8 = 0x28
    /// WRITE (10) (SBC-3, 5.33).
    package static let write10: UInt8 = 0x2A
    /// VERIFY (10) (SBC-3, 5.29).
    package static let verify10: UInt8 = 0x2F
    /// SYNCHRONIZE CACHE (10) (SBC-3, 5.26).
    package static let synchronizeCache10: UInt8 = 0x35
    /// UNMAP (SBC-3, 5.28).
    package static let unmap: UInt8 = 0x42
    /// MODE SENSE (10) (SPC-4, 6.14).
    package static let modeSense10: UInt8 = 0x5A
    /// READ (16) (SBC-3, 5.13).
    package static let read16: UInt8 = 0x88
    /// WRITE (16) (SBC-3, 5.35).
    package static let write16: UInt8 = 0x8A
    /// VERIFY (16) (SBC-3, 5.31).
    package static let verify16: UInt8 = 0x8F
    /// SYNCHRONIZE CACHE (16) (SBC-3, 5.27).
    package static let synchronizeCache16: UInt8 = 0x91
    /// WRITE SAME (16) (SBC-3, 5.44).
    package static let writeSame16: UInt8 = 0x93
    /// SERVICE ACTION IN (16): the service action in byte 1 names the command.
    package static let serviceActionIn16: UInt8 = 0x9E
    /// REPORT LUNS (SPC-4, 6.33).
    package static let reportLUNs: UInt8 = 0xA0
    /// READ (12) (SBC-3, 5.12).
    package static let read12: UInt8 = 0xA8
    /// WRITE (12) (SBC-3, 5.34).
    package static let write12: UInt8 = 0xAA

    /// The service action of READ CAPACITY (16), in the low five bits of byte 1 (SBC-3, 5.16).
    package static let readCapacity16Action: UInt8 = 0x10

    /// Whether a command's data, if any, goes to the device.
    package static func takesData(_ code: UInt8) -> Bool {
        switch code {
        case write6, write10, write12, write16, verify10, verify16, unmap, writeSame16: true
        default: false
        }
    }

    /// The standard's name of a code, for messages; nil for a code that is not listed here.
    package static func name(of code: UInt8) -> String? {
        switch code {
        case testUnitReady: "TEST UNIT READY"
        case requestSense: "REQUEST SENSE"
        case read6: "READ(6)"
        case write6: "WRITE(6)"
        case inquiry: "INQUIRY"
        case modeSense6: "MODE SENSE(6)"
        case startStopUnit: "START STOP UNIT"
        case readCapacity10: "READ CAPACITY(10)"
        case read10: "READ(10)"
        case write10: "WRITE(10)"
        case verify10: "VERIFY(10)"
        case synchronizeCache10: "SYNCHRONIZE CACHE(10)"
        case unmap: "UNMAP"
        case modeSense10: "MODE SENSE(10)"
        case read16: "READ(16)"
        case write16: "WRITE(16)"
        case verify16: "VERIFY(16)"
        case synchronizeCache16: "SYNCHRONIZE CACHE(16)"
        case writeSame16: "WRITE SAME(16)"
        case serviceActionIn16: "READ CAPACITY(16)"
        case reportLUNs: "REPORT LUNS"
        case read12: "READ(12)"
        case write12: "WRITE(12)"
        default: nil
        }
    }
}
