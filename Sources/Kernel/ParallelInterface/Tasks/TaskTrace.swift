import DriverHost
import Glibc
import Platform
import SCSI
import SCSIControllerDriverKit

/// Writes a line for each task that goes to a driver and for each that comes back, like a driver's own console log.
///
/// Threads: any. Each line is written whole, in the order of the calls.
package final class TaskTrace: Sendable {
    /// The formats of a line.
    package enum Format: String, Sendable, CaseIterable {
        /// For people.
        case text
        /// One JSON object a line.
        case json
    }

    private let descriptor: Int32
    private let format: Format

    /// - Parameters:
    ///   - descriptor: an open file to write to; the trace does not close it.
    ///   - format: the format of its lines.
    package init(descriptor: Int32, format: Format) {
        self.descriptor = descriptor
        self.format = format
    }

    func submitted(
        _ command: UnsafePointer<SCSIUserParallelTask>, slot: SlotIndex, route: TaskRoute, isKext: Bool,
        segmentCount: UInt64
    ) {
        let cdb = CommandDescriptorBlock(bytes: command.pointee.cdb, byteCount: command.pointee.fCommandSize)
        let name = cdb.name
        let call = Self.entry(route, isKext)
        let task = command.pointee.fControllerTaskIdentifier
        let bytes = command.pointee.fRequestedTransferCount
        let target = command.pointee.fTargetID
        let unit = command.pointee.fLogicalUnitBytes.1
        switch format {
        case .text:
            write(
                "\(call): slot \(slot) task \(task) target \(target)\(unit == 0 ? "" : " LUN \(unit)") CDB \(cdb.description) "
                    + "[\(name)] DataLength 0x\(String(bytes, radix: 16)) SG count \(segmentCount)\n")
        case .json:
            write(
                "{\"event\": \"submit\", \"call\": \"\(call)\", \"slot\": \(slot), \"task\": \(task), "
                    + "\"target\": \(target), \"lun\": \(unit), \"cdb\": \"\(cdb.description)\", "
                    + "\"opcode\": \"\(name)\", \"bytes\": \(bytes), \"segments\": \(segmentCount)}\n")
        }
    }

    func completed(
        _ response: UnsafePointer<SCSIUserParallelResponse>, slot: SlotIndex, route: TaskRoute, isKext: Bool
    ) {
        let call = Self.completion(route, isKext)
        let task = response.pointee.fControllerTaskIdentifier
        let (service, status) = (response.pointee.fServiceResponse, response.pointee.fCompletionStatus)
        let bytes = response.pointee.fBytesTransferred
        switch format {
        case .text:
            write(
                "\(call): slot \(slot) task \(task) service response \(service) status 0x\(String(status, radix: 16)) "
                    + "transferred 0x\(String(bytes, radix: 16))\n")
        case .json:
            write(
                "{\"event\": \"complete\", \"call\": \"\(call)\", \"slot\": \(slot), \"task\": \(task), "
                    + "\"service_response\": \(service), \"status\": \(status), \"bytes\": \(bytes)}\n")
        }
    }

    private func write(_ line: String) {
        var line = line
        line.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    private static func entry(_ route: TaskRoute, _ isKext: Bool) -> String {
        if isKext { return "ProcessParallelTask" }
        return route == .bundled ? "UserProcessBundledParallelTasks" : "UserProcessParallelTask"
    }

    private static func completion(_ route: TaskRoute, _ isKext: Bool) -> String {
        if isKext { return "CompleteParallelTask" }
        return route == .bundled ? "BundledParallelTaskCompletion" : "ParallelTaskCompletion"
    }
}
