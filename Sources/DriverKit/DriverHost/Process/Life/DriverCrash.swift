import CDriverKit
import Diagnostics
import Platform

/// A crash in a driver's call, as the ended process has noted it.
struct DriverCrash {
    /// The fault, chosen by the address used; a plain crash when the process has noted nothing.
    let fault: DriverFault
    /// The place of the crash as the end of a sentence: "; it used the address 0x8 in Start". Empty without a note.
    let place: String

    /// - Parameters:
    ///   - note: the process's, which is another one's writing.
    ///   - busAddresses: the addresses that only the card can use.
    init(_ note: nbdext_crash_note, busAddresses: Range<UInt64>) {
        guard note.signal != 0 else {
            (fault, place) = (.driverCrash, "")
            return
        }
        let call = withUnsafeBytes(of: note.call) { ForeignText(bytes: $0.prefix { $0 != 0 }).description }
        let address = "0x\(String(note.address, radix: 16))"
        guard note.is_access != 0 else {
            (fault, place) = (.driverCrash, "; it stopped at \(address) in \(call)")
            return
        }
        place = "; it used the address \(address) in \(call)"
        if note.address < Self.nullByteCount {
            fault = .interruptBeforeInitialization
        } else {
            fault = busAddresses.contains(note.address) ? .busAddressDereferenced : .driverCrash
        }
    }

    /// An address below this is a field of an object that is not there.
    private static let nullByteCount: UInt64 = 65536
}
