import Diagnostics
import DriverHost
import ParallelInterface
import Platform
import SCSIArchitectureModel
import SCSIControllerDriverKit
import Synchronization

/// Builds a disk for each logical unit when the driver creates a target, and waits until all disks are there.
final class TargetPublisher: @unchecked Sendable {
    // SAFETY: `controller` is set before the driver starts; the rest is touched under `lock`.
    weak var controller: ParallelController!
    /// One disk for each array; nil when the driver alone knows how many there are.
    private let count: Int?
    private let log: DiagnosisLog
    private let lock = Lock()
    private var disks: [UnitAddress: BlockCommandsDevice] = [:]
    private var failure: (any Error)?
    /// The first target that the driver has created and that is no array.
    private var strangeTarget: UInt64?
    private var isCancelled = false
    /// Creations under way, and the time in milliseconds when the last one began or ended.
    private var creating = 0
    /// A thread asks the disks for their media, and has to begin once more.
    private var mediaIsProbed = false
    private var mediaProbesAgain = false
    /// Called after the disks were asked: what is cached of former media is void.
    let mediaWereProbed = Mutex<(@Sendable () -> Void)?>(nil)
    private var lastChange: UInt64 = 0
    private let complete = OneShotEvent()
    private let timeouts: TargetTimeouts
    private static let pollMilliseconds = 20

    init(count: Int?, timeouts: TargetTimeouts, log: DiagnosisLog) {
        self.count = count
        self.timeouts = timeouts
        self.log = log
    }

    /// Probes the target and its logical units. Called on the driver's AuxiliaryQueue.
    /// - Parameter status: how the driver's call to create the target went.
    /// - Returns: whether the target has disks.
    func publish(_ targetID: UInt64, _ status: kern_return_t) -> Bool {
        lock.withLock { lastChange = monotonicMilliseconds() }
        if let count, targetID >= count {
            lock.withLock { strangeTarget = strangeTarget ?? targetID }
            return false
        }
        let mayBeAbsent = count == nil && controller.isScanned(targetID)
        guard status == kIOReturnSuccess else {
            // A second creation fails, and leaves the first as it is.
            if status != kIOReturnExclusiveAccess && !mayBeAbsent {
                fail(
                    DriverStartError(
                        call: "UserCreateTargetForID(\(targetID))",
                        reason: "failed with \(hexText(status))"))
            }
            return false
        }
        lock.withLock {
            creating += 1
            lastChange = monotonicMilliseconds()
        }
        defer {
            lock.withLock {
                creating -= 1
                lastChange = monotonicMilliseconds()
            }
        }
        do {
            let first = try build(UnitAddress(targetID: UInt8(targetID)))
            var built = [first]
            for unit in first.reportedUnits where unit != 0 {
                guard unit <= controller.highestLogicalUnit else {
                    if count == nil { continue }
                    throw DriverStartError(
                        call: "UserReportHBAHighestLogicalUnitNumber",
                        reason: "said \(controller.highestLogicalUnit), so logical unit \(unit) of target \(targetID) "
                            + "would not be found; report the highest number that a target may have")
                }
                built.append(try build(UnitAddress(targetID: UInt8(targetID), logicalUnit: unit)))
            }
            for disk in built { controller.settle(disk.address, hasMedium: true) }
            // All or none: a target that is served in part would not be built again.
            let isLast = lock.withLock {
                for disk in built { disks[disk.address] = disk }
                return count.map { disks.count >= $0 } == true
            }
            if isLast { complete.set() }
            return true
        } catch {
            if mayBeAbsent { return false }
            if let error = error as? ProbeError, !controller.isStopping { report(error, targetID) }
            fail(error)
            return false
        }
    }

    private func build(_ address: UnitAddress) throws -> BlockCommandsDevice {
        let disk = try BlockCommandsDevice(transport: controller, address: address)
        disk.readyMilliseconds = timeouts.readyMilliseconds
        try disk.probe()
        return disk
    }

    // MARK: Media

    /// Asks every disk for its capacity, on a thread of its own: a medium came or went. Calls that come while the
    /// thread is at work have it begin once more.
    func mediaChanged() {
        let isAtWork = lock.withLock {
            defer { (mediaProbesAgain, mediaIsProbed) = (mediaIsProbed, true) }
            return mediaIsProbed
        }
        if isAtWork { return }
        do {
            try OSThread(name: "media") { [self] in probeMedia() }.detach()
        } catch {
            lock.withLock { mediaIsProbed = false }
            writeMessage("the disks cannot be asked for their media: \(error)", level: .warning)
        }
    }

    private func probeMedia() {
        var goesOn = true
        while goesOn {
            for disk in lock.withLock({ disks.values.sorted { $0.address < $1.address } }) { probeMedium(of: disk) }
            mediaWereProbed.withLock { $0 }?()
            goesOn = lock.withLock {
                defer { (mediaIsProbed, mediaProbesAgain) = (mediaProbesAgain, false) }
                return mediaProbesAgain
            }
        }
    }

    private func probeMedium(of disk: BlockCommandsDevice) {
        guard !controller.isStopping else { return }
        do {
            let blockCount = try disk.probeMedium()
            controller.settle(disk.address, hasMedium: blockCount != nil)
            let known = disk.medium.blockCount
            let text =
                switch blockCount {
                case nil: "has no medium: requests fail until there is one again"
                case known?: "has a medium of the same size as at first"
                case let count?:
                    "has a medium of \(count) blocks, and had one of \(known) at first; clients see the first size until "
                        + "the server is started again"
                }
            writeMessage("\(disk.address) \(text)", level: .notice)
        } catch {
            writeMessage("\(disk.address) did not say what its medium is: \(error)", level: .warning)
        }
    }

    private func fail(_ error: any Error) {
        lock.withLock {
            failure = error
            lastChange = monotonicMilliseconds()
        }
        complete.set()
    }

    /// Ends `wait` with an error. Any thread.
    func cancel() {
        lock.withLock { isCancelled = true }
        fail(DriverStartError(call: "the start", reason: "was ended"))
    }

    /// Reports the fault of a driver that keeps its own target from answering.
    private func report(_ error: ProbeError, _ targetID: UInt64) {
        switch error.cause {
        case .notDelivered where !controller.isScanned(targetID):
            log.report(
                .targetNotReady,
                "UserCreateTargetForID(\(targetID)) had begun, and its probe failed: \(error.description)")
        case .notReady: log.report(.notReadyTooLong, error.description)
        case .notDelivered, .ended, .waitBroken, .answer: break
        }
    }

    /// Waits until the driver has created all targets.
    /// - Returns: their disks, by target and logical unit.
    func wait() throws -> [BlockCommandsDevice] {
        let limit = monotonicMilliseconds() + UInt64(timeouts.creationMilliseconds)
        while !isComplete() {
            let now = monotonicMilliseconds()
            if try isOver(now) { break }
            // A probe under way has limits of its own.
            guard now >= limit, count != nil || lock.withLock({ creating == 0 }) else { continue }
            throw DriverStartError(
                call: "UserCreateTargetForID",
                reason: "was not called for every \(count == nil ? "target" : "array") within "
                    + "\(timeouts.creationMilliseconds / 1000) s")
        }
        return try lock.withLock {
            // Where the kernel scans, an ID without a target is no failure.
            if let failure, count != nil || disks.isEmpty || isCancelled { throw failure }
            if let count, disks.count > count {
                throw DriverStartError(
                    call: "UserCreateTargetForID",
                    reason: "brought \(disks.count) disks for \(count) array\(count == 1 ? "" : "s"); report the "
                        + "card's targets and logical units as they are")
            }
            if disks.isEmpty {
                throw DriverStartError(
                    call: "UserDoesHBAPerformDeviceManagement",
                    reason: "left it to the kernel to look for targets, and no ID answered as a disk")
            }
            return disks.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    /// Waits for a moment. A driver that brings its own targets is never known to have created all of them.
    /// - Returns: true when all targets are there, when one of an array will not come, and when the start was
    ///   cancelled.
    private func isComplete() -> Bool {
        guard count == nil else { return complete.wait(milliseconds: Self.pollMilliseconds) }
        _ = OneShotEvent().wait(milliseconds: Self.pollMilliseconds)
        return lock.withLock { isCancelled }
    }

    /// Whether no other target is expected.
    ///
    /// A driver does not say which target is its last, so the absence of creations for a moment has to do.
    /// - Throws: when it is known that an array's target will not come.
    private func isOver(_ now: UInt64) throws(DriverStartError) -> Bool {
        let (hasSettled, isEmpty, strange) = lock.withLock { () -> (Bool, Bool, UInt64?) in
            (
                creating == 0 && lastChange > 0 && now >= lastChange + UInt64(timeouts.settlingMilliseconds),
                disks.isEmpty, strangeTarget
            )
        }
        if isEmpty && log.count(of: .noAuxiliaryQueue) > 0 {
            throw DriverStartError(
                call: "UserCreateTargetForID", reason: "cannot run without AuxiliaryQueue; register it (B03)")
        }
        guard hasSettled else { return false }
        if let strange, isEmpty {
            throw DriverStartError(
                call: "UserCreateTargetForID(\(strange))",
                reason: "was called for a target that is none of the card's arrays; serve a driver that brings its own "
                    + "disks without an array")
        }
        return count == nil
    }
}
