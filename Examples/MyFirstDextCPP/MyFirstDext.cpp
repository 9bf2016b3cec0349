#include <os/log.h>
#include <string.h>
#include <DriverKit/DriverKit.h>
#include <SCSIControllerDriverKit/SCSIControllerDriverKit.h>

#include "MyFirstDext.h"

static const uint32_t kBlockByteCount = 512, kBlockCount = 131072;  // 64 MiB
static const uint64_t kSegments = 128, kSegmentByteCount = 65536;

struct MyFirstDext_IVars
{
    uint8_t * disk;
    IODispatchQueue * auxiliaryQueue;
    OSAction * asyncEvent;
    uint32_t lastTaskID;
};

// MARK: Life cycle

bool MyFirstDext::init()
{
    if (!super::init()) return false;
    ivars = IONewZero(MyFirstDext_IVars, 1);
    if (ivars == nullptr) return false;
    ivars->disk = (uint8_t *)IOMallocZero((size_t)kBlockCount * kBlockByteCount);
    return ivars->disk != nullptr;
}

void MyFirstDext::free()
{
    if (ivars != nullptr) {
        if (ivars->disk != nullptr) IOFree(ivars->disk, (size_t)kBlockCount * kBlockByteCount);
        OSSafeReleaseNULL(ivars->auxiliaryQueue);
    }
    IOSafeDeleteNULL(ivars, MyFirstDext_IVars, 1);
    super::free();
}

kern_return_t IMPL(MyFirstDext, Stop)
{
    // The action holds the driver, which could never be freed otherwise.
    OSSafeReleaseNULL(ivars->asyncEvent);
    return Stop(provider, SUPERDISPATCH);
}

static bool Set(OSDictionary * dictionary, const char * key, uint64_t value)
{
    OSNumber * number = OSNumber::withNumber(value, 64);
    if (number == nullptr) return false;
    bool isSet = dictionary->setObject(key, number);
    number->release();
    return isSet;
}

kern_return_t IMPL(MyFirstDext, UserInitializeController)
{
    // Targets are created on a queue that does nothing else.
    kern_return_t status = IODispatchQueue::Create("AuxiliaryQueue", 0, 0, &ivars->auxiliaryQueue);
    if (status != kIOReturnSuccess) return status;
    status = SetDispatchQueue("AuxiliaryQueue", ivars->auxiliaryQueue);
    if (status != kIOReturnSuccess) return status;
    status = CreateActionHandleAsyncEvent(sizeof(void *), &ivars->asyncEvent);
    if (status != kIOReturnSuccess) return status;

    // All seven, or requests fail later where nobody looks.
    OSDictionary * constraints = OSDictionary::withCapacity(7);
    if (constraints == nullptr) return kIOReturnNoMemory;
    bool isComplete = Set(constraints, kIOMaximumSegmentCountReadKey, kSegments)
        && Set(constraints, kIOMaximumSegmentCountWriteKey, kSegments)
        && Set(constraints, kIOMaximumSegmentByteCountReadKey, kSegmentByteCount)
        && Set(constraints, kIOMaximumSegmentByteCountWriteKey, kSegmentByteCount)
        && Set(constraints, kIOMinimumSegmentAlignmentByteCountKey, 4)
        && Set(constraints, kIOMaximumSegmentAddressableBitCountKey, 64)
        && Set(constraints, kIOMinimumHBADataAlignmentMaskKey, UINT64_MAX);
    status = isComplete ? UserReportHBAConstraints(constraints) : kIOReturnNoMemory;
    constraints->release();
    return status;
}

kern_return_t IMPL(MyFirstDext, UserStartController)
{
    // Later, on AuxiliaryQueue: this call has to return first.
    AsyncEventHandler(ivars->asyncEvent, kIOReturnSuccess);
    return kIOReturnSuccess;
}

void IMPL(MyFirstDext, HandleAsyncEvent)
{
    (void)action, (void)status;
    OSDictionary * properties = OSDictionary::withCapacity(1);
    if (properties == nullptr) return;
    // The target's first commands arrive before this returns.
    kern_return_t result = UserCreateTargetForID(0, properties);
    if (result != kIOReturnSuccess) {
        os_log(OS_LOG_DEFAULT, "MyFirstDext: UserCreateTargetForID returned 0x%08x", result);
    }
    properties->release();
}

// MARK: Questions

template <class Value>
static kern_return_t Answer(Value * question, Value value)
{
    *question = value;
    return kIOReturnSuccess;
}

kern_return_t IMPL(MyFirstDext, UserReportInitiatorIdentifier) { return Answer<uint64_t>(id, 7); }
kern_return_t IMPL(MyFirstDext, UserReportHighestSupportedDeviceID) { return Answer<uint64_t>(id, 6); }
kern_return_t IMPL(MyFirstDext, UserReportMaximumTaskCount) { return Answer<uint32_t>(count, 32); }
kern_return_t IMPL(MyFirstDext, UserReportHBAHighestLogicalUnitNumber) { return Answer<uint64_t>(value, 0); }
kern_return_t IMPL(MyFirstDext, UserDoesHBAPerformAutoSense) { return Answer(result, true); }
kern_return_t IMPL(MyFirstDext, UserDoesHBAPerformDeviceManagement) { return Answer(result, true); }
kern_return_t IMPL(MyFirstDext, UserDoesHBASupportMultiPathing) { return Answer(result, false); }

kern_return_t IMPL(MyFirstDext, UserDoesHBASupportSCSIParallelFeature)
{
    (void)theValue;
    return Answer(result, false);
}

kern_return_t IMPL(MyFirstDext, UserGetDMASpecification)
{
    // The largest task: as much as the constraints let the block layer send at once.
    *maxTransferSize = kSegments * kSegmentByteCount;
    *alignment = 4;
    *numAddressBits = 64;
    *segmentType = kDMAOutputSegmentHost64;
    return kIOReturnSuccess;
}

kern_return_t IMPL(MyFirstDext, UserMapHBAData) { return Answer(uniqueTaskID, ++ivars->lastTaskID); }

kern_return_t IMPL(MyFirstDext, UserInitializeTargetForID)
{
    return targetID == 0 ? kIOReturnSuccess : kIOReturnNoDevice;
}

// MARK: Task management. A task is complete before the next call arrives: there is nothing left to abort.

static kern_return_t NothingToAbort(uint32_t * response)
{
    return Answer<uint32_t>(response, kSCSIServiceResponse_FUNCTION_COMPLETE);
}

kern_return_t IMPL(MyFirstDext, UserAbortTaskRequest)
{
    (void)theT, (void)theL, (void)theQ;
    return NothingToAbort(response);
}
kern_return_t IMPL(MyFirstDext, UserAbortTaskSetRequest)
{
    (void)theT, (void)theL;
    return NothingToAbort(response);
}
kern_return_t IMPL(MyFirstDext, UserClearACARequest)
{
    (void)theT, (void)theL;
    return NothingToAbort(response);
}
kern_return_t IMPL(MyFirstDext, UserClearTaskSetRequest)
{
    (void)theT, (void)theL;
    return NothingToAbort(response);
}
kern_return_t IMPL(MyFirstDext, UserLogicalUnitResetRequest)
{
    (void)theT, (void)theL;
    return NothingToAbort(response);
}
kern_return_t IMPL(MyFirstDext, UserTargetResetRequest)
{
    (void)theT;
    return NothingToAbort(response);
}

// MARK: Commands

/// A big-endian field, as SCSI has them.
static void Put(uint8_t * bytes, uint64_t value, int count)
{
    for (int index = 0; index < count; ++index) bytes[index] = (uint8_t)(value >> (8 * (count - 1 - index)));
}

static uint64_t Field(const uint8_t * bytes, int count)
{
    uint64_t value = 0;
    for (int index = 0; index < count; ++index) value = value << 8 | bytes[index];
    return value;
}

/// CHECK CONDITION: ILLEGAL REQUEST with an additional code, in fixed format.
static void Refuse(SCSIUserParallelResponse & result, uint8_t code)
{
    result.fCompletionStatus = kSCSITaskStatus_CHECK_CONDITION;
    result.fSenseLength = 18;
    result.fSenseBuffer[0] = 0x70;
    result.fSenseBuffer[2] = 0x05;
    result.fSenseBuffer[7] = 10;
    result.fSenseBuffer[12] = code;
}

/// A task's data in the driver's own memory.
struct TaskData
{
    IOBufferMemoryDescriptor * descriptor = nullptr;
    uint8_t * bytes = nullptr;
    uint64_t count = 0;
};

/// Copies between the task's data and `bytes`, as much as there is of both.
static void Copy(
    const TaskData & data, SCSIUserParallelResponse & result, uint8_t * bytes, uint64_t count, bool isWrite)
{
    if (count > data.count) count = data.count;
    memcpy(isWrite ? bytes : data.bytes, isWrite ? data.bytes : bytes, count);
    result.fBytesTransferred = count;
}

static void Inquiry(const uint8_t * cdb, const TaskData & data, SCSIUserParallelResponse & result)
{
    static const char name[] = "EXAMPLE My first DEXT   1.0 ";
    const int nameLength = sizeof(name) - 1;
    uint8_t bytes[80] = {};
    int length = 0;
    if ((cdb[1] & 0x01) == 0) {
        const uint8_t header[] = {0, 0, 0x06, 0x02, 31, 0, 0, 0x02};
        memcpy(bytes, header, sizeof(header));
        memcpy(bytes + 8, name, nameLength);
        return Copy(data, result, bytes, 8 + nameLength, false);
    }
    switch (cdb[2]) {
    case 0x00: {
        const uint8_t pages[] = {0x00, 0x80, 0x83, 0xB0, 0xB2};
        memcpy(bytes + 4, pages, length = sizeof(pages));
        break;
    }
    case 0x80: memcpy(bytes + 4, "0001", length = 4); break;
    case 0x83: {  // ASCII, by T10 vendor
        const uint8_t header[] = {0x02, 0x01, 0, nameLength};
        memcpy(bytes + 4, header, sizeof(header));
        memcpy(bytes + 8, name, nameLength);
        length = 4 + nameLength;
        break;
    }
    case 0xB0: length = 60; break;  // no limits
    case 0xB2: length = 4; break;  // no UNMAP
    default: return Refuse(result, 0x24);
    }
    bytes[1] = cdb[2];
    Put(bytes + 2, (uint64_t)length, 2);
    Copy(data, result, bytes, 4 + (uint64_t)length, false);
}

/// READ and WRITE: between the disk and the task's data.
static void Move(
    uint8_t * disk, uint64_t block, uint64_t count, bool isWrite, const TaskData & data,
    SCSIUserParallelResponse & result)
{
    if (block > kBlockCount || count > kBlockCount - block) return Refuse(result, 0x21);  // OUT OF RANGE
    Copy(data, result, disk + block * kBlockByteCount, count * kBlockByteCount, isWrite);
}

static void Execute(
    uint8_t * disk, const SCSIUserParallelTask & task, const TaskData & data, SCSIUserParallelResponse & result)
{
    const uint8_t * cdb = task.fCommandDescriptorBlock;
    const bool isWrite = task.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget;
    uint8_t bytes[32] = {};
    switch (cdb[0]) {
    case 0x00: case 0x35: case 0x91: return;  // TEST UNIT READY; SYNCHRONIZE CACHE (10), (16): there is no cache
    case 0x03:  // REQUEST SENSE: none
        bytes[0] = 0x70;
        bytes[7] = 10;
        return Copy(data, result, bytes, 18, false);
    case 0x12: return Inquiry(cdb, data, result);
    case 0x1A:  // MODE SENSE (6): the caching page
        if ((cdb[2] & 0x3F) != 0x08 && (cdb[2] & 0x3F) != 0x3F) return Refuse(result, 0x24);
        bytes[0] = 23;
        bytes[2] = 0x10;
        bytes[4] = 0x08;
        bytes[5] = 18;
        return Copy(data, result, bytes, 24, false);
    case 0x25:  // READ CAPACITY (10)
        Put(bytes, kBlockCount - 1, 4);
        Put(bytes + 4, kBlockByteCount, 4);
        return Copy(data, result, bytes, 8, false);
    case 0x9E:  // READ CAPACITY (16)
        if ((cdb[1] & 0x1F) != 0x10) return Refuse(result, 0x20);
        Put(bytes, kBlockCount - 1, 8);
        Put(bytes + 8, kBlockByteCount, 4);
        return Copy(data, result, bytes, 32, false);
    case 0xA0:  // REPORT LUNS: unit 0
        Put(bytes, 8, 4);
        return Copy(data, result, bytes, 16, false);
    case 0x28: case 0x2A: return Move(disk, Field(cdb + 2, 4), Field(cdb + 7, 2), isWrite, data, result);
    case 0x88: case 0x8A: return Move(disk, Field(cdb + 2, 8), Field(cdb + 10, 4), isWrite, data, result);
    default: return Refuse(result, 0x20);  // INVALID COMMAND OPERATION CODE
    }
}

// MARK: Tasks

kern_return_t IMPL(MyFirstDext, UserProcessParallelTask)
{
    SCSIUserParallelResponse result = {};
    result.version = kScsiUserParallelTaskResponseCurrentVersion1;
    result.fTargetID = parallelRequest.fTargetID;
    result.fControllerTaskIdentifier = parallelRequest.fControllerTaskIdentifier;
    result.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE;

    TaskData data;
    IOAddressSegment range = {};
    kern_return_t status = kIOReturnSuccess;
    if (parallelRequest.fRequestedTransferCount > 0) {
        status = UserGetDataBuffer(
            parallelRequest.fTargetID, parallelRequest.fControllerTaskIdentifier, &data.descriptor);
        if (status == kIOReturnSuccess) status = data.descriptor->GetAddressRange(&range);
        data.bytes = (uint8_t *)range.address;
        data.count = range.length < parallelRequest.fRequestedTransferCount
            ? range.length : parallelRequest.fRequestedTransferCount;
    }
    if (status == kIOReturnSuccess) {
        Execute(ivars->disk, parallelRequest, data, result);
    } else {
        result.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
        result.fCompletionStatus = kSCSITaskStatus_DeliveryFailure;
    }
    OSSafeReleaseNULL(data.descriptor);

    // Also for a task that is complete: what else is returned here counts as a failure.
    *response = kSCSIServiceResponse_Request_In_Process;
    ParallelTaskCompletion(completion, result);
    return kIOReturnSuccess;
}

kern_return_t IMPL(MyFirstDext, UserMapBundledParallelTaskCommandAndResponseBuffers)
{
    (void)parallelCommandIOMemoryDescriptor, (void)parallelResponseIOMemoryDescriptor;
    return kIOReturnUnsupported;  // the legacy route
}

void IMPL(MyFirstDext, UserProcessBundledParallelTasks)
{
    (void)parallelRequestSlotIndices, (void)parallelRequestSlotIndicesCount, (void)completion;
}
