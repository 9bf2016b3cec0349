import DriverHost
import SCSIControllerDriverKit

/// The target table.
extension ParallelController {
    package func attach(_ owner: any SCSITaskOwner, at address: UnitAddress) {
        let (target, unit) = (Int(address.targetID), Int(address.logicalUnit))
        targetLock.withLock {
            while owners[target].count <= unit { owners[target].append(nil) }
            owners[target][unit] = owner
        }
    }

    func owner(at address: UnitAddress) -> (any SCSITaskOwner)? {
        let (target, unit) = (Int(address.targetID), Int(address.logicalUnit))
        return targetLock.withLock { unit < owners[target].count ? owners[target][unit] : nil }
    }

    /// The highest logical unit that may be looked for; the driver says so.
    package var highestLogicalUnit: UInt8 { UInt8(clamping: properties.highestLogicalUnit) }

    package func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t {
        enter(targetID, isScan: false)
    }

    private func enter(_ targetID: SCSIDeviceIdentifier, isScan: Bool) -> kern_return_t {
        if let status = returnTarget(targetID) { return status }
        let status = enterTarget(targetID, isScan: isScan)
        if targetCreated(targetID, status) { return kIOReturnSuccess }
        guard status == kIOReturnSuccess else { return status }
        // There is no such target after all; it may be created later.
        targetLock.withLock {
            createdTargets.remove(targetID)
            scannedTargets.remove(targetID)
        }
        return kIOReturnError
    }

    /// Whether the kernel looks for a target by itself: that there is none is no mistake then.
    package func isScanned(_ targetID: SCSIDeviceIdentifier) -> Bool {
        targetLock.withLock { scannedTargets.contains(targetID) }
    }

    /// A driver that was started again creates its targets once more: they exist, and the driver only learns of them.
    /// - Returns: nil when the target has to be built.
    private func returnTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t? {
        let isReturning = targetLock.withLock { () -> Bool in
            guard createdTargets.contains(targetID), returnedTargets != nil else { return false }
            return returnedTargets!.insert(targetID).inserted
        }
        return isReturning ? host.initializeTarget(targetID) : nil
    }

    package func initializeTargetsAgain() {
        for targetID in targetLock.withLock({ createdTargets }).sorted() { _ = returnTarget(targetID) }
    }

    /// Everything that precedes the probe.
    private func enterTarget(_ targetID: SCSIDeviceIdentifier, isScan: Bool) -> kern_return_t {
        guard targetID != self.properties.initiatorID else {
            log.report(.targetIsInitiator, "target \(targetID) has the ID that UserReportInitiatorIdentifier reported")
            return kIOReturnBadArgument
        }
        guard targetID <= self.properties.highestDeviceID, targetID < 256 else {
            log.report(
                .targetAboveHighestID,
                "target \(targetID) is above the reported highest ID \(self.properties.highestDeviceID): its completions "
                    + "could never be matched")
            return kIOReturnBadArgument
        }
        let isNew = targetLock.withLock {
            guard createdTargets.insert(targetID).inserted else { return false }
            if isScan { scannedTargets.insert(targetID) } else { scannedTargets.remove(targetID) }
            destroyedTargets.remove(targetID)
            return true
        }
        guard isNew else {
            let wasScanned = targetLock.withLock { scannedTargets.contains(targetID) }
            log.report(
                .targetCreatedTwice,
                "target \(targetID) exists already, made by \(wasScanned ? "the kernel's scan" : "an earlier call")")
            return kIOReturnExclusiveAccess
        }
        let status = host.initializeTarget(targetID)
        guard status == kIOReturnSuccess else {
            _ = targetLock.withLock { createdTargets.remove(targetID) }
            return status
        }
        return kIOReturnSuccess
    }

    package func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool {
        targetLock.withLock { createdTargets.contains(targetID) }
    }

    /// Forgets a target: tasks for it fail from now on, those that the driver has come back as they will.
    package func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        targetLock.withLock {
            guard createdTargets.remove(targetID) != nil else { return kIOReturnBadArgument }
            scannedTargets.remove(targetID)
            destroyedTargets.insert(targetID)
            hasDestroyedTargets.store(true, ordering: .releasing)
            return kIOReturnSuccess
        }
    }

    /// Whether a target was destroyed. Hardly any ever is, so that costs a task no lock.
    func isDestroyed(_ targetID: UInt8) -> Bool {
        guard hasDestroyedTargets.load(ordering: .acquiring) else { return false }
        return targetLock.withLock { destroyedTargets.contains(UInt64(targetID)) }
    }

    /// What the kernel does for a driver that does not manage its devices: tries every ID.
    func scanTargets() {
        for targetID in 0...min(properties.highestDeviceID, 255) where targetID != properties.initiatorID {
            _ = enter(targetID, isScan: true)
        }
    }
}
