// swift-format-ignore-file: AlwaysUseLowerCamelCase

import SCSIControllerDriverKit

/// A disk in the driver's own memory: the smallest driver that is correct.
///
/// It has no device to give bus addresses to, so it needs a task's data itself. DriverKit gives that by
/// UserGetDataBuffer, which is legal only inside UserProcessParallelTask. A software driver is therefore a driver of
/// the legacy route, with one call a task: it does not override UserMapBundledParallelTaskCommandAndResponseBuffers,
/// and the base class declines the shared slots for it. A driver with hardware takes them, and never needs the data.
class MyFirstDext: IOUserSCSIParallelInterfaceController, @unchecked Sendable {
    // SAFETY: `disk` is touched on the Default queue only; `auxiliaryQueue` is set before anybody else runs.

    private static let blockByteCount = 512, blockCount = 131_072  // 64 MiB
    private static let segments: UInt64 = 128, segmentByteCount: UInt64 = 65536

    private let disk = UnsafeMutableRawBufferPointer.allocate(byteCount: blockCount * blockByteCount, alignment: 4096)
    private var auxiliaryQueue: IODispatchQueue?
    private var lastTaskID: UInt32 = 0

    override func UserInitializeController() -> kern_return_t {
        disk.initializeMemory(as: UInt8.self, repeating: 0)
        // Targets are created on a queue that does nothing else.
        _ = IODispatchQueue.Create("AuxiliaryQueue", 0, 0, &auxiliaryQueue)
        _ = SetDispatchQueue("AuxiliaryQueue", auxiliaryQueue!)
        // All seven, or requests fail later where nobody looks.
        return UserReportHBAConstraints([
            kIOMaximumSegmentCountReadKey: .number(Self.segments),
            kIOMaximumSegmentCountWriteKey: .number(Self.segments),
            kIOMaximumSegmentByteCountReadKey: .number(Self.segmentByteCount),
            kIOMaximumSegmentByteCountWriteKey: .number(Self.segmentByteCount),
            kIOMinimumSegmentAlignmentByteCountKey: 4, kIOMaximumSegmentAddressableBitCountKey: 64,
            kIOMinimumHBADataAlignmentMaskKey: .number(.max),
        ])
    }

    override func UserStartController() -> kern_return_t {
        // This queue has to be free while targets are created: their first commands arrive meanwhile.
        auxiliaryQueue?.DispatchAsync { [unowned self] in createTargets() }
        return kIOReturnSuccess
    }

    /// Runs on AuxiliaryQueue.
    func createTargets() { _ = UserCreateTargetForID(0, [:]) }

    // MARK: Questions

    private func answer<Value>(_ question: inout Value, _ value: Value) -> kern_return_t {
        question = value
        return kIOReturnSuccess
    }

    override func UserReportInitiatorIdentifier(_ id: inout UInt64) -> kern_return_t { answer(&id, 7) }
    override func UserReportHighestSupportedDeviceID(_ id: inout UInt64) -> kern_return_t { answer(&id, 6) }
    override func UserReportMaximumTaskCount(_ count: inout UInt32) -> kern_return_t { answer(&count, 32) }
    override func UserDoesHBAPerformAutoSense(_ result: inout Bool) -> kern_return_t { answer(&result, true) }
    override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t { answer(&result, true) }
    override func UserInitializeTargetForID(_ id: UInt64) -> kern_return_t {
        id == 0 ? kIOReturnSuccess : kIOReturnNoDevice
    }
    override func UserGetDMASpecification(
        _ maxTransferSize: inout UInt64, _ alignment: inout UInt32, _ numAddressBits: inout UInt8,
        _ segmentType: inout DMAOutputSegmentType
    ) -> kern_return_t {
        // The largest task: as much as the constraints let the block layer send at once.
        maxTransferSize = Self.segments * Self.segmentByteCount
        alignment = 4
        numAddressBits = 64
        return answer(&segmentType, .kDMAOutputSegmentHost64)
    }
    override func UserMapHBAData(_ id: inout UInt32) -> kern_return_t {
        lastTaskID += 1
        return answer(&id, lastTaskID)
    }

    // A task is complete before the next call arrives: there is nothing left to abort.

    override func UserAbortTaskRequest(_: UInt64, _: UInt64, _: UInt64, _ response: inout UInt32) -> kern_return_t {
        answer(&response, kSCSIServiceResponse_FUNCTION_COMPLETE)
    }
    override func UserLogicalUnitResetRequest(_: UInt64, _: UInt64, _ response: inout UInt32) -> kern_return_t {
        answer(&response, kSCSIServiceResponse_FUNCTION_COMPLETE)
    }
    override func UserTargetResetRequest(_: UInt64, _ response: inout UInt32) -> kern_return_t {
        answer(&response, kSCSIServiceResponse_FUNCTION_COMPLETE)
    }

    override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        var result = SCSIUserParallelResponse()
        result.version = kScsiUserParallelTaskResponseCurrentVersion1
        result.fTargetID = parallelRequest.fTargetID
        result.fControllerTaskIdentifier = parallelRequest.fControllerTaskIdentifier
        result.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE
        execute(parallelRequest, &result)
        // Also for a task that is complete: what else is returned here counts as a failure.
        response = kSCSIServiceResponse_Request_In_Process
        ParallelTaskCompletion(completion, result)
        return kIOReturnSuccess
    }

    private func execute(_ task: SCSIUserParallelTask, _ result: inout SCSIUserParallelResponse) {
        let cdb = withUnsafeBytes(of: task.fCommandDescriptorBlock) { Array($0) }
        switch cdb[0] {
        case 0x00, 0x35, 0x91: break  // TEST UNIT READY; SYNCHRONIZE CACHE (10), (16): there is no cache
        case 0x03: send([0x70, 0, 0, 0, 0, 0, 0, 10] + number(0, 10), task, &result)
        case 0x12: inquiry(cdb, task, &result)
        case 0x1A where cdb[2] & 0x3F == 0x08 || cdb[2] & 0x3F == 0x3F:  // MODE SENSE (6): the caching page
            send([23, 0, 0x10, 0, 0x08, 18] + number(0, 18), task, &result)
        case 0x1A: refuse(&result, 0x24)  // INVALID FIELD IN CDB
        case 0x25: send(number(Self.blockCount - 1, 4) + number(Self.blockByteCount, 4), task, &result)
        case 0x9E where cdb[1] & 0x1F == 0x10:  // READ CAPACITY (16)
            send(number(Self.blockCount - 1, 8) + number(Self.blockByteCount, 4) + number(0, 20), task, &result)
        case 0xA0: send(number(8, 4) + number(0, 12), task, &result)  // REPORT LUNS: unit 0
        case 0x28, 0x2A: move(field(cdb[2..<6]), field(cdb[7..<9]), task, &result)
        case 0x88, 0x8A: move(field(cdb[2..<10]), field(cdb[10..<14]), task, &result)
        default: refuse(&result, 0x20)  // INVALID COMMAND OPERATION CODE
        }
    }

    private func inquiry(_ cdb: [UInt8], _ task: SCSIUserParallelTask, _ result: inout SCSIUserParallelResponse) {
        let name = Array("EXAMPLE My first DEXT   1.0 ".utf8)
        guard cdb[1] & 0x01 != 0 else { return send([0, 0, 0x06, 0x02, 31, 0, 0, 0x02] + name, task, &result) }
        let content: [UInt8]
        switch cdb[2] {
        case 0x00: content = [0x00, 0x80, 0x83, 0xB0, 0xB2]
        case 0x80: content = Array("0001".utf8)
        case 0x83: content = [0x02, 0x01, 0, UInt8(name.count)] + name  // ASCII, by T10 vendor
        case 0xB0: content = number(0, 60)  // no limits
        case 0xB2: content = [0, 0, 0, 0]  // no UNMAP
        default: return refuse(&result, 0x24)
        }
        send([0, cdb[2]] + number(content.count, 2) + content, task, &result)
    }

    /// READ and WRITE: between the disk and the task's data.
    private func move(
        _ block: Int, _ count: Int, _ task: SCSIUserParallelTask, _ result: inout SCSIUserParallelResponse
    ) {
        guard block >= 0, block <= Self.blockCount, count <= Self.blockCount - block else {
            return refuse(&result, 0x21)  // LOGICAL BLOCK ADDRESS OUT OF RANGE
        }
        let offset = block * Self.blockByteCount
        withData(of: task, &result) { data in
            let moved = min(count * Self.blockByteCount, data.count)
            let blocks = UnsafeMutableRawBufferPointer(rebasing: disk[offset..<offset + moved])
            let isWrite = task.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget
            (isWrite ? blocks : data).copyBytes(from: isWrite ? data[..<moved] : blocks[...])
            return moved
        }
    }

    private func send(_ bytes: [UInt8], _ task: SCSIUserParallelTask, _ result: inout SCSIUserParallelResponse) {
        withData(of: task, &result) { data in
            data.copyBytes(from: bytes.prefix(data.count))
            return min(bytes.count, data.count)
        }
    }

    /// Calls `body` with the task's data in this process's memory; it returns how many bytes it moved.
    private func withData(
        of task: SCSIUserParallelTask, _ result: inout SCSIUserParallelResponse,
        _ body: (UnsafeMutableRawBufferPointer) -> Int
    ) {
        guard task.fRequestedTransferCount > 0 else { return }
        var buffer: IOBufferMemoryDescriptor?
        var map: IOMemoryMap?
        guard
            UserGetDataBuffer(task.fTargetID, task.fControllerTaskIdentifier, &buffer) == kIOReturnSuccess,
            buffer!.CreateMapping(0, 0, 0, 0, 0, &map) == kIOReturnSuccess, let map,
            let memory = UnsafeMutableRawPointer(bitPattern: UInt(map.GetAddress()))
        else {
            result.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
            result.fCompletionStatus = kSCSITaskStatus_DeliveryFailure
            return
        }
        let count = Int(min(map.GetLength(), task.fRequestedTransferCount))
        result.fBytesTransferred = UInt64(body(UnsafeMutableRawBufferPointer(start: memory, count: count)))
    }

    /// CHECK CONDITION: ILLEGAL REQUEST with an additional code, in fixed format.
    private func refuse(_ result: inout SCSIUserParallelResponse, _ code: UInt8) {
        result.fCompletionStatus = kSCSITaskStatus_CHECK_CONDITION
        result.fSenseLength = 18
        withUnsafeMutableBytes(of: &result.fSenseBuffer) { sense in
            sense.copyBytes(from: [0x70, 0, 0x05, 0, 0, 0, 0, 10, 0, 0, 0, 0, code])
        }
    }

    /// A big-endian field, as SCSI has them.
    private func number(_ value: Int, _ count: Int) -> [UInt8] {
        (1...count).map { UInt8(truncatingIfNeeded: value >> ((count - $0) * 8)) }
    }

    private func field(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
}
