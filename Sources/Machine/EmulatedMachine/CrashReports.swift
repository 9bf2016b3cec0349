import CDriverKit
import Diagnostics
import Glibc

/// Reports for drivers that crash. A signal handler prints them, so their texts are made in advance.
package enum CrashReports {
    /// The bus addresses of a DART: windows of 4 GiB, from the second on.
    private static let busAddresses: Range<UInt64> = 1 << 32..<1 << 45

    /// Makes a crash in driver code end the process with a report from now on.
    package static func install() {
        func text(_ fault: DriverFault, _ detail: String) -> UnsafePointer<CChar>? {
            // Never freed: the signal handler may need it at any time.
            UnsafePointer(strdup(Diagnosis(fault, detail).report))
        }
        var reports = nbdext_crash_reports()
        reports.null_record = text(
            .interruptBeforeInitialization,
            "the driver used a field of a record whose pointer is NULL (see the address)")
        reports.bus_address = text(
            .busAddressDereferenced, "the driver used an address on the device's bus as a pointer (see the address)")
        reports.other = text(.driverCrash, "the driver did what no program may do (see the address)")
        reports.bus_low = busAddresses.lowerBound
        reports.bus_high = busAddresses.upperBound
        nbdext_report_driver_crashes(&reports)
    }
}
