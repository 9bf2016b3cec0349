import Diagnostics
import DriverHost
import Platform
import SCSIControllerDriverKit

/// The HBA as the layers above see it.
extension ParallelController {
    /// Lanes in all; the size of per-lane tables.
    package var laneCount: Int { parts.lanes.count }
    /// Tasks of each lane; requests' tags are below it.
    package var tasksPerLane: Int { TaskTable.tasksPerLane }
    /// The memory that task buffers lie in.
    package var arena: DataArena { parts.arena }
    /// The limits that the driver reported; the defaults before.
    package var constraints: HBAConstraints { report.constraints }
    /// Whether an IOMMU joins pages for the device.
    package var hasMapper: Bool { parts.options.hasMapper }
    /// Bytes of a page of the emulated machine.
    package var pageByteCount: UInt64 { parts.options.pageByteCount }
    /// The log of diagnoses.
    package var log: DiagnosisLog { parts.log }
    /// The driver's answers to the questions at its start.
    package var properties: DriverProperties { creation.properties }
    /// The highest logical unit that may be probed, as the driver reported it.
    package var highestLogicalUnit: UInt8 { UInt8(clamping: properties.highestLogicalUnit) }

    package func attach(_ owner: any SCSITaskOwner, at address: UnitAddress) {
        parts.tasks.owners.attach(owner, at: address)
    }

    /// Lets go of all owners, which hold the controller themselves. The last call, when nobody submits any more.
    package func detachOwners() { parts.tasks.owners.removeAll() }

    /// Whether the kernel looked for a target by itself. Its absence is no mistake then.
    package func isScanned(_ targetID: SCSIDeviceIdentifier) -> Bool {
        UInt8(exactly: targetID).map { parts.targets.isScanned($0) } ?? false
    }

    // MARK: Lanes

    /// Makes a lane for the calling thread, on behalf of a client or an array.
    /// - Throws: if all lanes are in use, or the card has none left.
    package func makeLane() throws -> Int { try parts.lanes.makeForClient() }

    /// Gives a lane back, after its outstanding work is done. Blocks.
    package func releaseLane(_ lane: Int) {
        lanePump.releaseOwnLane(lane)
        parts.lanes.clientLeaves()
    }

    package func submit(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        assert(areTasksMapped.load(ordering: .acquiring), "a task came before its driver had started")
        dispatcher.submit(taskIndices, lane: lane)
        lanePump.pump(lane: lane, Exchange(taskCount: taskIndices.count))
    }

    package func hasOutstandingWork(lane: Int) -> Bool { parts.card.hasOutstandingWork(lane: lane) }

    package func wait(lane: Int, orReadable descriptor: Int32) { lanePump.wait(lane: lane, orReadable: descriptor) }

    /// Does all work of a lane that needs no waiting.
    package func pump(lane: Int) { lanePump.pump(lane: lane) }

    /// Pumps a lane until all work that it has begun is done.
    package func finishWork(lane: Int) { lanePump.finishWork(lane: lane) }

    // MARK: Answers to probes

    package func wait(forAnswer event: OneShotEvent, to command: String, taskIndex: TaskIndex) -> Bool {
        assert(parts.tasks.has(taskIndex), "task \(taskIndex) is waited for, which does not exist")
        let purpose = "the completion of \(command)"
        let resource = WaitGraph.Resource.kernel { [weak self] in
            KernelWait(purpose: purpose, isWithDriverSince: self?.isWithDriverSince(taskIndex: taskIndex))
        }
        if parts.host.context.waits.wait(for: event, of: resource, purpose: purpose) == .done { return true }
        ending.withdraw(taskIndex, answered: event)
        return false
    }

    /// The time at which the driver got a task, if it still has it and the device does not work on it.
    private func isWithDriverSince(taskIndex: TaskIndex) -> UInt64? {
        let slots = dispatcher.slots
        return slots.pool.sent(taskIndex: taskIndex) {
            slots.isInDevice($0) ? nil : slots.pool.filledTime(of: $0)
        }
    }
}
