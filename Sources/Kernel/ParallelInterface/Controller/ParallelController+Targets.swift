import DriverHost
import SCSIControllerDriverKit

/// The target table.
extension ParallelController {
    package func attach(_ owner: any SCSITaskOwner, at address: UnitAddress) {
        owners.attach(owner, at: address)
    }

    /// Lets go of all owners, which hold the controller themselves. The last call, when nobody submits any more.
    package func detachOwners() {
        owners.removeAll()
    }

    /// The highest logical unit that may be probed, as the driver reported it.
    package var highestLogicalUnit: UInt8 { UInt8(clamping: properties.highestLogicalUnit) }

    /// UserCreateTargetForID: asks the driver whether it takes the target, and builds the storage stack above it.
    /// Blocks.
    /// - Returns: `kIOReturnSuccess` if the target is usable; `kIOReturnNotReady` before UserStartController.
    package func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t {
        guard acceptsTargets.load(ordering: .acquiring) else {
            if !isStopping {
                log.report(
                    .targetNotReady, "UserCreateTargetForID(\(targetID)) came before UserStartController")
                _ = targetCreated(targetID, kIOReturnNotReady)
            }
            return kIOReturnNotReady
        }
        return enter(targetID, isScan: false)
    }

    private func enter(_ targetID: SCSIDeviceIdentifier, isScan: Bool) -> kern_return_t {
        guard let id = permitted(targetID) else {
            _ = targetCreated(targetID, kIOReturnBadArgument)
            return kIOReturnBadArgument
        }
        switch targets.create(id, isScan: isScan) {
        case .build(let turn):
            let status = host.initializeTarget(targetID)
            let isUsable = targetCreated(targetID, status)
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
            _ = targetCreated(targetID, kIOReturnExclusiveAccess)
            return kIOReturnExclusiveAccess
        }
    }

    /// A target's ID as eight bits, if the driver may have the target. Reports why not otherwise.
    private func permitted(_ targetID: SCSIDeviceIdentifier) -> UInt8? {
        guard targetID != self.properties.initiatorID else {
            log.report(.targetIsInitiator, "target \(targetID) has the ID that UserReportInitiatorIdentifier reported")
            return nil
        }
        guard targetID <= self.properties.highestDeviceID, let id = UInt8(exactly: targetID) else {
            log.report(
                .targetAboveHighestID,
                "target \(targetID) is above the reported highest ID \(self.properties.highestDeviceID): its completions "
                    + "could never be matched")
            return nil
        }
        return id
    }

    /// Whether the kernel looked for a target by itself. Its absence is no mistake then.
    package func isScanned(_ targetID: SCSIDeviceIdentifier) -> Bool {
        UInt8(exactly: targetID).map { targets.isScanned($0) } ?? false
    }

    /// Makes a restarted driver take the targets that it has not created itself.
    package func initializeTargetsAgain() {
        for id in targets.unannounced { _ = enter(UInt64(id), isScan: true) }
    }

    /// Whether there is a target, or one is being created.
    package func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool {
        guard let id = UInt8(exactly: targetID) else { return false }
        return switch targets.state(of: id) {
        case .creating, .present, .returning: true
        case .absent, .ending, .destroyed: false
        }
    }

    /// UserDestroyTargetForID: new tasks for the target fail, while the driver's tasks come back as usual. The disk
    /// above it stays, and works again when the driver creates the target once more.
    /// - Returns: `kIOReturnBadArgument` if there is no such target.
    package func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        UInt8(exactly: targetID).map { targets.destroy($0) } == true ? kIOReturnSuccess : kIOReturnBadArgument
    }

    /// Tries every ID, for a driver that does not manage its devices.
    func scanTargets() {
        for targetID in 0...min(properties.highestDeviceID, 255) where targetID != properties.initiatorID {
            _ = enter(targetID, isScan: true)
        }
    }
}
