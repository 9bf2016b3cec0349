import DriverHost
import SCSIControllerDriverKit

/// The target table.
extension ParallelController {
    package func attach(_ owner: any SCSITaskOwner, at address: UnitAddress) {
        let (target, unit) = (Int(address.targetID), Int(address.logicalUnit))
        ownersLock.withLock {
            while owners[target].count <= unit { owners[target].append(nil) }
            owners[target][unit] = owner
        }
    }

    func owner(at address: UnitAddress) -> (any SCSITaskOwner)? {
        let (target, unit) = (Int(address.targetID), Int(address.logicalUnit))
        return ownersLock.withLock { unit < owners[target].count ? owners[target][unit] : nil }
    }

    /// The highest logical unit that may be looked for; the driver says so.
    package var highestLogicalUnit: UInt8 { UInt8(clamping: properties.highestLogicalUnit) }

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

    /// A target's ID, if the driver may have such a target; if not, that was reported.
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

    /// Whether the kernel looks for a target by itself: that there is none is no mistake then.
    package func isScanned(_ targetID: SCSIDeviceIdentifier) -> Bool {
        UInt8(exactly: targetID).map { targets.isScanned($0) } ?? false
    }

    package func initializeTargetsAgain() {
        for id in targets.unannounced { _ = enter(UInt64(id), isScan: true) }
    }

    package func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool {
        guard let id = UInt8(exactly: targetID) else { return false }
        return switch targets.state(of: id) {
        case .creating, .present, .returning: true
        case .absent, .ending, .destroyed: false
        }
    }

    /// Takes a target away: tasks for it fail from now on, those that the driver has come back as they will. The disk above it
    /// stays, and works again when the driver creates the target once more.
    package func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        UInt8(exactly: targetID).map { targets.destroy($0) } == true ? kIOReturnSuccess : kIOReturnBadArgument
    }

    /// What the kernel does for a driver that does not manage its devices: tries every ID.
    func scanTargets() {
        for targetID in 0...min(properties.highestDeviceID, 255) where targetID != properties.initiatorID {
            _ = enter(targetID, isScan: true)
        }
    }
}
