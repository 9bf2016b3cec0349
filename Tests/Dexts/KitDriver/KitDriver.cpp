// The driver: a small disk in memory, and the checks of the kit. A property of its personality, KitChecks, says whether
// it runs the checks. The results are properties of the driver (KitChecksDone, KitFailures) and log lines.

#include <DriverKit/DriverKit.h>
#include <SCSIControllerDriverKit/SCSIControllerDriverKit.h>
#include <os/log.h>

#include "KitDriver.h"

#define Log(format, ...) os_log(OS_LOG_DEFAULT, "KitDriver: " format, ##__VA_ARGS__)

static const uint32_t kBlockByteCount = 512, kBlockCount = 2048;

// MARK: Life cycle

bool KitDriver::init()
{
    if (!super::init()) return false;
    ivars = IONewZero(KitDriver_IVars, 1);
    if (ivars == nullptr) return false;
    ivars->disk = IONewZero(uint8_t, kBlockByteCount * kBlockCount);
    return ivars->disk != nullptr;
}

void KitDriver::free()
{
    if (ivars != nullptr) {
        IOSafeDeleteNULL(ivars->disk, uint8_t, kBlockByteCount * kBlockCount);
        OSSafeReleaseNULL(ivars->event);
        OSSafeReleaseNULL(ivars->timerAction);
        OSSafeReleaseNULL(ivars->interruptAction);
        OSSafeReleaseNULL(ivars->timer);
        OSSafeReleaseNULL(ivars->interrupts);
        OSSafeReleaseNULL(ivars->mathQueue);
        OSSafeReleaseNULL(ivars->eventQueue);
        OSSafeReleaseNULL(ivars->auxiliaryQueue);
    }
    IOSafeDeleteNULL(ivars, KitDriver_IVars, 1);
    super::free();
}

kern_return_t IMPL(KitDriver, Start)
{
    kern_return_t status = Start(provider, SUPERDISPATCH);
    if (status != kIOReturnSuccess) return status;
    ivars->stage = kStageStarted;
    OSDictionary * properties = nullptr;
    status = CopyProperties(&properties);
    if (status != kIOReturnSuccess) return status;
    ReadMistake(properties);
    ivars->isBundled = OSDynamicCast(OSBoolean, properties->getObject("KitBundled")) == kOSBooleanTrue;
    properties->release();
    return RegisterService();
}

/// The driver lets go when its sources have, which is later.
kern_return_t IMPL(KitDriver, Stop)
{
    if (ivars->timer == nullptr) return Stop(provider, SUPERDISPATCH);
    retain();
    provider->retain();
    kern_return_t status = ivars->timer->Cancel(^{
        Stop(provider, SUPERDISPATCH);
        OSSafeReleaseNULL(ivars->timerAction);
        OSSafeReleaseNULL(ivars->event);
        provider->release();
        release();
    });
    if (ivars->interrupts != nullptr) ivars->interrupts->Cancel(nullptr);
    OSSafeReleaseNULL(ivars->interruptAction);
    return status;
}

kern_return_t IMPL(KitDriver, SetPowerState)
{
    // Late, as a driver does that has to quieten its card first.
    ivars->eventQueue->DispatchAsync(^{ SetPowerState(powerFlags, SUPERDISPATCH); });
    return kIOReturnSuccess;
}

kern_return_t IMPL(KitDriver, NewUserClient)
{
    IOService * client = nullptr;
    (void)type;
    kern_return_t status = Create(this, "UserClientProperties", &client);
    if (status != kIOReturnSuccess) return status;
    *userClient = OSDynamicCast(IOUserClient, client);
    return *userClient != nullptr ? kIOReturnSuccess : kIOReturnError;
}

kern_return_t IMPL(KitDriver, UserInitializeController)
{
    struct {
        const char * name;
        IODispatchQueue ** queue;
    } const queues[] = {
        {"AuxiliaryQueue", &ivars->auxiliaryQueue},
        {"EventQueue", &ivars->eventQueue},
        {"MathQueue", &ivars->mathQueue},
    };
    for (const auto & entry : queues) {
        kern_return_t status = IODispatchQueue::Create(entry.name, kIODispatchQueueReentrant, 0, entry.queue);
        if (status == kIOReturnSuccess) status = SetDispatchQueue(entry.name, *entry.queue);
        if (status != kIOReturnSuccess) return status;
    }
    OSDictionary * constraints = OSDictionary::withCapacity(7);
    OSDictionarySetUInt64Value(constraints, kIOMaximumSegmentCountReadKey, 16);
    OSDictionarySetUInt64Value(constraints, kIOMaximumSegmentCountWriteKey, 16);
    OSDictionarySetUInt64Value(constraints, kIOMaximumSegmentByteCountReadKey, 65536);
    OSDictionarySetUInt64Value(constraints, kIOMaximumSegmentByteCountWriteKey, 65536);
    OSDictionarySetUInt64Value(constraints, kIOMinimumSegmentAlignmentByteCountKey, 4);
    OSDictionarySetUInt64Value(constraints, kIOMaximumSegmentAddressableBitCountKey, 64);
    OSDictionarySetUInt64Value(constraints, kIOMinimumHBADataAlignmentMaskKey, UINT64_MAX);
    kern_return_t status = UserReportHBAConstraints(constraints);
    constraints->release();
    return status;
}

kern_return_t IMPL(KitDriver, UserStartController)
{
    OSDictionary * properties = nullptr;
    kern_return_t status = CopyProperties(&properties);
    if (status != kIOReturnSuccess) return status;
    if (OSDynamicCast(OSBoolean, properties->getObject("KitChecks")) == kOSBooleanTrue) {
        // Not here: some checks wait.
        ivars->auxiliaryQueue->DispatchAsync(^{ RunChecks(); });
    }
    properties->release();
    MakeMistakes();
    return kIOReturnSuccess;
}

// MARK: Questions

kern_return_t IMPL(KitDriver, UserReportInitiatorIdentifier) { return *id = 7, kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, UserReportHighestSupportedDeviceID) { return *id = 7, kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, UserReportMaximumTaskCount) { return *count = kTaskCount, kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, UserReportHBAHighestLogicalUnitNumber) { return *value = 0, kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, UserDoesHBAPerformAutoSense) { return *result = true, kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, UserDoesHBAPerformDeviceManagement) { return *result = false, kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, UserDoesHBASupportMultiPathing) { return *result = false, kIOReturnSuccess; }

kern_return_t IMPL(KitDriver, UserDoesHBASupportSCSIParallelFeature)
{
    *result = theValue == kSCSIParallelFeature_TotalFeatureCount;
    return kIOReturnSuccess;
}

kern_return_t IMPL(KitDriver, UserGetDMASpecification)
{
    *maxTransferSize = 1 << 20;
    *alignment = 4;
    *numAddressBits = 64;
    *segmentType = kDMAOutputSegmentHost64;
    return kIOReturnSuccess;
}

kern_return_t IMPL(KitDriver, UserMapHBAData) { return *uniqueTaskID = ++ivars->lastTaskID, kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, UserInitializeTargetForID) { return targetID < 8 ? kIOReturnSuccess : kIOReturnNoDevice; }

// MARK: Task management

static kern_return_t Done(uint32_t * response)
{
    *response = kSCSIServiceResponse_FUNCTION_COMPLETE;
    return kIOReturnSuccess;
}

// The first one has no names for its parameters, so it says them here.
kern_return_t KitDriver::UserAbortTaskRequest_Impl(uint64_t, uint64_t, uint64_t, uint32_t * response)
{
    return Done(response);
}
kern_return_t IMPL(KitDriver, UserAbortTaskSetRequest) { return (void)theT, (void)theL, Done(response); }
kern_return_t IMPL(KitDriver, UserClearACARequest) { return (void)theT, (void)theL, Done(response); }
kern_return_t IMPL(KitDriver, UserClearTaskSetRequest) { return (void)theT, (void)theL, Done(response); }
kern_return_t IMPL(KitDriver, UserLogicalUnitResetRequest) { return (void)theT, (void)theL, Done(response); }
kern_return_t IMPL(KitDriver, UserTargetResetRequest) { return (void)theT, Done(response); }

// MARK: Tasks

/// Answers the few commands that a test sends. Returns how many bytes it moved.
static uint64_t Execute(
    uint8_t * disk, const SCSIUserParallelTask & task, uint8_t * data, SCSIUserParallelResponse & result)
{
    const uint8_t * cdb = task.fCommandDescriptorBlock;
    const uint64_t length = task.fRequestedTransferCount;
    if (task.fTargetID != 0) {
        result.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
        result.fCompletionStatus = kSCSITaskStatus_DeviceNotPresent;
        return 0;
    }
    switch (cdb[0]) {
    case 0x00: case 0x35: return 0;
    case 0x12: {
        if (cdb[1] & 1) break;
        uint8_t inquiry[36] = {0, 0, 0x06, 0x02, 31};
        memcpy(inquiry + 8, "NBDEXT  KIT DRIVER      1.0 ", 28);
        const uint64_t count = length < sizeof(inquiry) ? length : sizeof(inquiry);
        memcpy(data, inquiry, count);
        return count;
    }
    case 0xA0:
        if (length < 16) break;
        memset(data, 0, 16);
        data[3] = 8;   // one entry: unit 0
        return 16;
    case 0x25:
        if (length < 8) break;
        OSWriteBigInt32(data, 0, kBlockCount - 1);
        OSWriteBigInt32(data, 4, kBlockByteCount);
        return 8;
    case 0x28: case 0x2A: {
        const uint64_t offset = (uint64_t)OSReadBigInt32(cdb, 2) * kBlockByteCount;
        if (offset + length > (uint64_t)kBlockCount * kBlockByteCount) break;
        if (cdb[0] == 0x28) memcpy(data, disk + offset, length);
        else memcpy(disk + offset, data, length);
        return length;
    }
    }
    SCSI_Sense_Data sense = {};
    sense.VALID_RESPONSE_CODE = kSENSE_RESPONSE_CODE_Current_Errors;
    sense.SENSE_KEY = kSENSE_KEY_ILLEGAL_REQUEST;
    sense.ADDITIONAL_SENSE_LENGTH = 10;
    sense.ADDITIONAL_SENSE_CODE = 0x20;
    memcpy(result.fSenseBuffer, &sense, sizeof(sense));
    result.fSenseLength = sizeof(sense);
    result.fCompletionStatus = kSCSITaskStatus_CHECK_CONDITION;
    return 0;
}

kern_return_t IMPL(KitDriver, UserProcessParallelTask)
{
    SCSIUserParallelResponse result = {};
    result.version = kScsiUserParallelTaskResponseCurrentVersion1;
    result.fTargetID = parallelRequest.fTargetID;
    result.fControllerTaskIdentifier = parallelRequest.fControllerTaskIdentifier;
    result.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE;
    IOBufferMemoryDescriptor * buffer = nullptr;
    IOAddressSegment range = {};
    if (parallelRequest.fRequestedTransferCount != 0) {
        kern_return_t status = UserGetDataBuffer(
            parallelRequest.fTargetID, parallelRequest.fControllerTaskIdentifier, &buffer);
        if (status != kIOReturnSuccess || buffer->GetAddressRange(&range) != kIOReturnSuccess) {
            *response = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
            return kIOReturnSuccess;
        }
    }
    result.fBytesTransferred = Execute(ivars->disk, parallelRequest, (uint8_t *)range.address, result);
    OSSafeReleaseNULL(buffer);
    *response = kSCSIServiceResponse_Request_In_Process;
    if (Makes("completed-twice")) ParallelTaskCompletion(completion, result);
    // Every other task is completed from another queue, with a reference of its own.
    if ((parallelRequest.fCommandDescriptorBlock[0] & 1) == 0) {
        ParallelTaskCompletion(completion, result);
    } else {
        completion->retain();
        ivars->eventQueue->DispatchAsync(^{
            ParallelTaskCompletion(completion, result);
            completion->release();
        });
    }
    return kIOReturnSuccess;
}

// MARK: Bundled tasks. A driver without a card cannot reach their data, so only commands without data succeed.

kern_return_t IMPL(KitDriver, UserMapBundledParallelTaskCommandAndResponseBuffers)
{
    uint64_t length = 0;
    Check("command slots", commands->GetLength(&length) == kIOReturnSuccess && length == kTaskCount * 128);
    Check("response slots", responses->GetLength(&length) == kIOReturnSuccess && length == kTaskCount * 384);
    if (!ivars->isBundled) return kIOReturnUnsupported;
    // The maps stay for ever, and so do the addresses: they are asked for at once.
    IOMemoryMap * commandMap = nullptr;
    IOMemoryMap * responseMap = nullptr;
    kern_return_t status = commands->CreateMapping(0, 0, 0, 0, 0, &commandMap);
    if (status == kIOReturnSuccess) status = responses->CreateMapping(0, 0, 0, 0, 0, &responseMap);
    if (status != kIOReturnSuccess) return status;
    ivars->commands = (SCSIUserParallelTask *)commandMap->GetAddress();
    ivars->responses = (SCSIUserParallelResponse *)responseMap->GetAddress();
    return ivars->commands != nullptr && ivars->responses != nullptr ? kIOReturnSuccess : kIOReturnNoMemory;
}

void IMPL(KitDriver, UserProcessBundledParallelTasks)
{
    if (ivars->bundledAction == nullptr) {
        ivars->bundledAction = completion;
        completion->retain();
    }
    Check("the bundled action", ivars->bundledAction == completion);
    for (uint16_t index = 0; index < count; ++index) {
        const SCSIUserParallelTask & task = ivars->commands[slots[index]];
        SCSIUserParallelResponse & result = ivars->responses[slots[index]];
        memset(&result, 0, sizeof(result));
        result.version = kScsiUserParallelTaskResponseCurrentVersion1;
        result.fTargetID = task.fTargetID;
        result.fControllerTaskIdentifier = task.fControllerTaskIdentifier;
        result.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE;
        if (task.fRequestedTransferCount == 0) {
            Execute(ivars->disk, task, nullptr, result);
        } else {
            result.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
            result.fCompletionStatus = kSCSITaskStatus_DeliveryFailure;
        }
    }
    BundledParallelTaskCompletion(completion, slots, count);
}
