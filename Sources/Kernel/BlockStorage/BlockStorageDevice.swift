import ParallelInterface
import Platform
import SCSIArchitectureModel
import Statistics
import Synchronization

/// A disk as a block device: byte ranges become blocks, large requests become stages, and the blocks at unaligned edges
/// are read and written back.
///
/// Models IOBlockStorageDriver. The request of tag t on lane l uses the task l x tasksPerLane + t in every layer below.
///
/// Threads: any lane. A request's state belongs to its lane's thread until it is submitted, then to the thread that
/// completes it.
package final class BlockStorageDevice: BlockService, @unchecked Sendable {
    // SAFETY: requests as above; `receivers[lane]` changes only while the lane has no request; `unaligned` has a lock.

    /// The device's name, size and abilities, from the disk's probe.
    package let info: BlockServiceInfo
    package var arena: DataArena { transport.arena }

    let disk: BlockCommandsDevice
    let transport: any SCSITaskTransport
    /// Those of all lanes, indexed like the HBA's tasks.
    let requests: UnsafeMutablePointer<BlockRequest>
    let states: UnsafeMutablePointer<RequestState>
    let readLimits: BreakUpLimits
    let writeLimits: BreakUpLimits
    let blockByteCount: UInt64
    /// The disk honours WRITE's FUA bit.
    let supportsForceUnitAccess: Bool
    /// The disk has refused WRITE SAME as a command that it does not know, so it gets zeros as data.
    let refusesZeroing = Atomic<Bool>(false)
    /// The largest range of one unmapping and of one zeroing stage, bytes.
    let unmapByteCountMax: UInt64
    let zeroByteCountMax: UInt64
    /// Stages of writes should end at multiples of this many bytes; 0 for anywhere.
    private let stageAlignment: UInt64
    private let movedCuts = Atomic<UInt64>(0)
    /// The number of cuts between a write's stages that were moved to a stripe's end, so that no stripe is updated in
    /// parts.
    package var movedCutCount: UInt64 { movedCuts.load(ordering: .relaxed) }
    /// The requests to this device, and their times.
    package let counters: ExportCounters
    let gate = WriteGate()
    let unaligned: UnalignedRequests
    let receivers: UnsafeMutablePointer<(any BlockCompletionReceiver)?>

    /// - Parameters:
    ///   - disk: a disk that was probed.
    ///   - name, description: for people.
    ///   - alignsStages: move cuts between stages back to the last end of a stripe. IOBlockStorageDriver cuts only
    ///     where the limits say, and no property of macOS changes that.
    /// - Throws: if the arena has no room for the bounce buffer.
    package init(
        disk: BlockCommandsDevice, transport: any SCSITaskTransport, name: String, description: String,
        alignsStages: Bool = false
    ) throws {
        self.disk = disk
        self.transport = transport
        let medium = disk.medium
        blockByteCount = UInt64(medium.blockByteCount)
        readLimits = BreakUpLimits(
            transport.constraints, isWrite: false, blockByteCount: blockByteCount, hasMapper: transport.hasMapper,
            pageByteCount: transport.pageByteCount)
        writeLimits = BreakUpLimits(
            transport.constraints, isWrite: true, blockByteCount: blockByteCount, hasMapper: transport.hasMapper,
            pageByteCount: transport.pageByteCount)
        supportsForceUnitAccess = medium.supportsForceUnitAccess
        unmapByteCountMax = UInt64(medium.maximumUnmapBlocks) * blockByteCount
        zeroByteCountMax = min(medium.maximumWriteSameBlocks, UInt64(UInt32.max)) * blockByteCount
        unaligned = try UnalignedRequests(arena: transport.arena)
        let stripe = UInt64(medium.optimalTransferBlocks) * blockByteCount
        stageAlignment = alignsStages ? stripe : 0
        // NBD allows only powers of two as a preferred size (proto.md, block size constraints).
        let prefersStripe = alignsStages && stripe.nonzeroBitCount == 1 && stripe <= 32 << 20
        // A granularity of 0 means that the disk reports none.
        let granularity = UInt64(medium.optimalTransferGranularity) * blockByteCount
        let preferred = prefersStripe ? stripe : granularity.nonzeroBitCount == 1 ? granularity : 4096
        info = BlockServiceInfo(
            name: name, description: description, byteCount: medium.blockCount * blockByteCount,
            blockByteCount: Int(blockByteCount),
            preferredByteCount: Int(preferred),
            isReadOnly: medium.isWriteProtected, supportsTrim: medium.supportsUnmap)
        counters = ExportCounters(laneCount: transport.laneCount)
        let requestCount = transport.laneCount * transport.tasksPerLane
        requests = .allocate(capacity: requestCount)
        requests.initialize(repeating: BlockRequest(operation: .flush, tag: 0), count: requestCount)
        states = .allocate(capacity: requestCount)
        states.initialize(repeating: RequestState(), count: requestCount)
        receivers = .allocate(capacity: transport.laneCount)
        receivers.initialize(repeating: nil, count: transport.laneCount)
        disk.setOwner(self)
    }

    deinit {
        disk.setOwner(nil)
        requests.deallocate()
        states.deallocate()
        receivers.deinitialize(count: transport.laneCount)
        receivers.deallocate()
    }

    package func makeLane(receiver: any BlockCompletionReceiver) throws -> any BlockLane {
        let lane = try transport.makeLane()
        receivers[lane] = receiver
        return Lane(device: self, index: lane)
    }

    func closeLane(_ lane: Int) {
        receivers[lane] = nil
        transport.releaseLane(lane)
    }

    // MARK: Requests

    /// Starts requests of a lane.
    func submit(_ tags: UnsafeBufferPointer<UInt16>, lane: Int) {
        counters.submit(tags.count, lane: lane)
        let now = monotonicNanoseconds()
        let firstTask = TaskIndex(lane * transport.tasksPerLane)
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: tags.count) { ready in
            withUnsafeTemporaryAllocation(of: StageCompletion.self, capacity: tags.count) { refused in
                var readyCount = 0
                var refusedCount = 0
                for tag in tags {
                    let taskIndex = firstTask + TaskIndex(tag)
                    assert(Int(tag) < transport.tasksPerLane, "tag \(tag) is above the lane's capacity")
                    states[Int(taskIndex)] = RequestState(startNanoseconds: now)
                    switch begin(taskIndex) {
                    case .ready:
                        ready[readyCount] = taskIndex
                        readyCount += 1
                    case .ended(let error):
                        refused[refusedCount] = StageCompletion(taskIndex: taskIndex, error: error, byteCount: 0)
                        refusedCount += 1
                    case .waiting: break
                    }
                }
                if refusedCount > 0 {
                    deliver(UnsafeMutableBufferPointer(rebasing: refused[..<refusedCount]), lane: lane)
                }
                if readyCount > 0 { disk.submit(UnsafeBufferPointer(rebasing: ready[..<readyCount]), lane: lane) }
            }
        }
        startUnaligned(lane: lane)
    }

    /// A request's next step.
    enum Step {
        /// The task of its next stage is ready to be sent.
        case ready
        case ended(BlockError)
        /// None now: the request waits for its turn.
        case waiting
    }

    /// Checks a request and takes its first step.
    func begin(_ taskIndex: TaskIndex) -> Step {
        let request = requests[Int(taskIndex)]
        if request.operation == .flush { return flush(taskIndex) }
        guard request.byteOffset <= info.byteCount, UInt64(request.byteCount) <= info.byteCount - request.byteOffset,
            request.byteCount > 0
        else { return .ended(.invalid) }
        if request.operation.isWrite && info.isReadOnly { return .ended(.readOnly) }
        if request.operation == .trim && !info.supportsTrim { return .ended(.notSupported) }
        let needsBuffer = request.operation == .writeZeroes && refusesZeroing.load(ordering: .relaxed)
        if needsBuffer || (request.byteOffset | UInt64(request.byteCount)) % blockByteCount != 0 {
            states[Int(taskIndex)].isUnaligned = true
            unaligned.append(taskIndex)
            return .waiting
        }
        if request.operation.isWrite {
            guard gate.enter() else {
                unaligned.hold(taskIndex)
                // The gate may have opened meanwhile, or this attempt may have made it look busy for a moment.
                unaligned.notice()
                return .waiting
            }
            states[Int(taskIndex)].isGated = true
        }
        return nextStage(taskIndex)
    }

    /// The next stage of an aligned request: as much as the limits allow.
    func nextStage(_ taskIndex: TaskIndex) -> Step {
        let state = states + Int(taskIndex)
        let request = requests[Int(taskIndex)]
        let left = UInt64(request.byteCount) - state.pointee.doneByteCount
        var length: UInt64
        var operation = BlockStage.Operation.unmap
        switch request.operation {
        case .read, .write:
            let run = BreakUpLimits.Run(
                address: UInt64(UInt(bitPattern: request.buffer!)) + state.pointee.doneByteCount, byteCount: left)
            operation = request.operation == .read ? .read : .write
            length = (operation == .read ? readLimits : writeLimits).stageByteCount(ofMemory: run)
            if operation == .write && stageAlignment > 0 && length < left {
                length = alignedStage(request.byteOffset + state.pointee.doneByteCount, length)
            }
        case .trim: length = min(left, unmapByteCountMax)
        case .writeZeroes:
            operation = .zero
            length = min(left, zeroByteCountMax)
        case .flush: preconditionFailure("a flush has no stages")
        }
        // No block obeys the limits; IOBlockStorageDriver reports a DMA error.
        guard length > 0 else {
            transport.log.report(
                .stageSizeIsZero,
                "a request of \(request.byteCount) bytes at \(request.byteOffset) has a stage of 0 bytes at offset "
                    + "\(state.pointee.doneByteCount): the memory there has a run shorter than a block")
            return .ended(.inputOutput)
        }
        state.pointee.stageByteCount = length
        var stage = BlockStage(
            taskIndex: taskIndex, operation: operation,
            lba: (request.byteOffset + state.pointee.doneByteCount) / blockByteCount,
            blockCount: UInt32(length / blockByteCount),
            buffer: request.buffer.map { $0 + Int(state.pointee.doneByteCount) })
        stage.forceUnitAccess = request.flags.contains(.forceUnitAccess) && supportsForceUnitAccess
        stage.mayUnmap = !request.flags.contains(.noHole)
        disk.prepare(stage)
        return .ready
    }

    /// A flush as the only or the last stage of a request, which ends without one if the disk has no write cache.
    func flush(_ taskIndex: TaskIndex) -> Step {
        guard disk.needsFlush else { return .ended(.none) }
        disk.prepare(BlockStage(taskIndex: taskIndex, operation: .flush))
        return .ready
    }

    /// Shortens a write's stage, if the request goes on behind it, to the last end of a stripe in it.
    /// - Returns: bytes; `length` if no stripe ends inside.
    private func alignedStage(_ byteOffset: UInt64, _ length: UInt64) -> UInt64 {
        let end = (byteOffset + length) / stageAlignment * stageAlignment
        guard end > byteOffset, end != byteOffset + length else { return length }
        movedCuts.add(1, ordering: .relaxed)
        return end - byteOffset
    }

    // MARK: Lanes

    /// A lane of the transport, with this device on top.
    private final class Lane: BlockLane {
        private let device: BlockStorageDevice
        private let index: Int

        init(device: BlockStorageDevice, index: Int) {
            self.device = device
            self.index = index
        }

        var requestCapacity: Int { device.transport.tasksPerLane }
        var requests: UnsafeMutablePointer<BlockRequest> { device.requests + index * requestCapacity }
        func submit(_ tags: UnsafeBufferPointer<UInt16>) { device.submit(tags, lane: index) }
        var hasOutstandingWork: Bool { device.transport.hasOutstandingWork(lane: index) }
        func wait(orReadable descriptor: Int32) { device.transport.wait(lane: index, orReadable: descriptor) }
        func close() { device.closeLane(index) }
    }
}
