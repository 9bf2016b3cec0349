import Diagnostics
import DriverHost
import SCSIControllerDriverKit

/// The creation of targets, by the driver or by a scan: asks the driver whether it takes a target, and has the storage
/// stack built above it.
///
/// Threads: any.
final class TargetCreation: @unchecked Sendable {
    // SAFETY: `properties` is set before `DriverState.acceptsTargets`.
    private let host: any DriverHost
    private let targets: TargetTable
    private let state: DriverState
    private let log: DiagnosisLog
    /// Builds the storage stack above a new target, or takes the reason why there is none.
    private let created: @Sendable (UInt64, kern_return_t) -> Bool
    /// The driver's answers to the questions at its start.
    var properties = DriverProperties()

    init(parts: KernelParts, created: @escaping @Sendable (UInt64, kern_return_t) -> Bool) {
        host = parts.host
        targets = parts.targets
        state = parts.state
        log = parts.log
        self.created = created
    }

    /// UserCreateTargetForID. Blocks.
    /// - Returns: `kIOReturnSuccess` if the target is usable; `kIOReturnNotReady` before UserStartController.
    func create(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        guard state.acceptsTargets.load(ordering: .acquiring) else {
            if !state.isStopping {
                log.report(
                    .targetNotReady, "UserCreateTargetForID(\(targetID)) came before UserStartController")
                _ = created(targetID, kIOReturnNotReady)
            }
            return kIOReturnNotReady
        }
        return enter(targetID, isScan: false)
    }

    private func enter(_ targetID: SCSIDeviceIdentifier, isScan: Bool) -> kern_return_t {
        guard let id = permitted(targetID) else {
            _ = created(targetID, kIOReturnBadArgument)
            return kIOReturnBadArgument
        }
        switch targets.create(id, isScan: isScan) {
        case .build(let turn):
            let status = host.initializeTarget(targetID)
            let isUsable = created(targetID, status)
            assert(
                [.creating, .ending].contains(targets.state(of: id)), "target \(id) was built by two calls at once")
            if targets.end(id, turn: turn, isUsable: isUsable) { return kIOReturnSuccess }
            return status == kIOReturnSuccess ? kIOReturnError : status
        case .accept(let turn):
            let status = host.initializeTarget(targetID)
            let isPresent = targets.end(id, turn: turn, isUsable: status == kIOReturnSuccess)
            return isPresent || status != kIOReturnSuccess ? status : kIOReturnAborted
        case .join: return host.initializeTarget(targetID)
        case .refuse(let wasScanned):
            log.report(
                .targetCreatedTwice,
                "target \(targetID) exists already, made by \(wasScanned ? "the kernel's scan" : "an earlier call")")
            _ = created(targetID, kIOReturnExclusiveAccess)
            return kIOReturnExclusiveAccess
        }
    }

    /// A target's ID as eight bits, if the driver may have the target. Reports why not otherwise.
    private func permitted(_ targetID: SCSIDeviceIdentifier) -> UInt8? {
        guard targetID != properties.initiatorID else {
            log.report(.targetIsInitiator, "target \(targetID) has the ID that UserReportInitiatorIdentifier reported")
            return nil
        }
        guard targetID <= properties.highestDeviceID, let id = UInt8(exactly: targetID) else {
            log.report(
                .targetAboveHighestID,
                "target \(targetID) is above the reported highest ID \(properties.highestDeviceID): its completions "
                    + "could never be matched")
            return nil
        }
        return id
    }

    /// Tries every ID, for a driver that does not manage its devices.
    func scan() {
        for targetID in 0...min(properties.highestDeviceID, 255) where targetID != properties.initiatorID {
            _ = enter(targetID, isScan: true)
        }
    }

    /// Makes a restarted driver take the targets that it has not created itself.
    func createAgain() {
        for id in targets.unannounced { _ = enter(UInt64(id), isScan: true) }
    }
}
