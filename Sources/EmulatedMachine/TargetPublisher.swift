import Diagnostics
import DriverHost
import ParallelInterface
import Platform
import SCSIArchitectureModel
import SCSIControllerDriverKit

/// Builds a disk when the driver creates a target, and tells when all are there.
final class TargetPublisher: @unchecked Sendable {
    // SAFETY: `controller` is set before the driver starts; the rest is touched under `lock`.
    weak var controller: ParallelController!
    private let count: Int
    private let log: DiagnosisLog
    private let lock = Lock()
    private var disks: [BlockCommandsDevice?]
    private var failure: (any Error)?
    private let complete = Event()
    private let timeouts: TargetTimeouts

    init(count: Int, timeouts: TargetTimeouts, log: DiagnosisLog) {
        self.count = count
        self.timeouts = timeouts
        self.log = log
        disks = Array(repeating: nil, count: count)
    }

    /// On the driver's AuxiliaryQueue: probes the target.
    func publish(_ targetID: UInt64, _ status: kern_return_t) -> Bool {
        guard targetID < count else { return false }
        guard status == kIOReturnSuccess else {
            // A second creation fails, and leaves the first as it is.
            if status != kIOReturnExclusiveAccess {
                lock.withLock {
                    failure = DriverStartError(
                        call: "UserCreateTargetForID(\(targetID))",
                        reason: "failed with 0x\(String(UInt32(bitPattern: status), radix: 16))")
                }
                complete.set()
            }
            return false
        }
        do {
            let disk = try BlockCommandsDevice(transport: controller, targetID: UInt8(targetID))
            disk.readyMilliseconds = timeouts.readyMilliseconds
            try disk.probe()
            let isLast = lock.withLock {
                disks[Int(targetID)] = disk
                return !disks.contains { $0 == nil }
            }
            if isLast { complete.set() }
            return true
        } catch {
            if let error = error as? ProbeError, !controller.isStopping { report(error, targetID) }
            lock.withLock { failure = error }
            complete.set()
            return false
        }
    }

    /// A target that its own driver keeps from answering.
    private func report(_ error: ProbeError, _ targetID: UInt64) {
        switch error.cause {
        case .notDelivered:
            log.report(
                .targetNotReady,
                "UserCreateTargetForID(\(targetID)) had begun, and its probe failed: \(error.description)")
        case .notReady: log.report(.notReadyTooLong, error.description)
        case .waitBroken, .answer: break
        }
    }

    /// Waits until the driver has created all targets.
    func wait() throws -> [BlockCommandsDevice] {
        guard complete.wait(milliseconds: timeouts.creationMilliseconds) else {
            throw DriverStartError(
                call: "UserCreateTargetForID",
                reason: "was not called for every array within \(timeouts.creationMilliseconds / 1000) s")
        }
        return try lock.withLock {
            if let failure { throw failure }
            return disks.map { $0! }
        }
    }
}
