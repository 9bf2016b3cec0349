// The driver's life: start, queues, targets, the questions that it is asked.

#include "RAIDDextState.h"

static const uint64_t kHighestTargetID = 62, kInitiatorID = 63;

// MARK: Life cycle

bool RAIDDext::init()
{
    if (!super::init()) return false;
    ivars = IONewZero(RAIDDext_IVars, 1);
    return ivars != nullptr;
}

void RAIDDext::free()
{
    if (ivars != nullptr) {
        OSSafeReleaseNULL(ivars->submissions.command);
        OSSafeReleaseNULL(ivars->submissions.descriptor);
        OSSafeReleaseNULL(ivars->completions.command);
        OSSafeReleaseNULL(ivars->completions.descriptor);
        IOSafeDeleteNULL(ivars->legacyTasks, LegacyTask, ivars->taskCount);
        OSSafeReleaseNULL(ivars->interrupts);
        OSSafeReleaseNULL(ivars->interruptQueue);
        OSSafeReleaseNULL(ivars->auxiliaryQueue);
        OSSafeReleaseNULL(ivars->properties);
    }
    IOSafeDeleteNULL(ivars, RAIDDext_IVars, 1);
    super::free();
}

kern_return_t IMPL(RAIDDext, Start)
{
    kern_return_t status = Start(provider, SUPERDISPATCH);
    if (status != kIOReturnSuccess) return status;
    ivars->card = OSDynamicCast(IOPCIDevice, provider);
    if (ivars->card == nullptr) return kIOReturnNoDevice;
    status = CopyProperties(&ivars->properties);
    if (status != kIOReturnSuccess) return status;
    const uint64_t count = OSDictionaryGetUInt64Value(ivars->properties, "Maximum Task Count");
    ivars->taskCount = count != 0 ? (uint32_t)count : 64;
    return ivars->card->Open(this, 0);
}

kern_return_t IMPL(RAIDDext, Stop)
{
    Write(kControl, 0);
    if (ivars->interrupts != nullptr) ivars->interrupts->Cancel(nullptr);
    // The actions hold the driver, so that it could never be freed.
    OSSafeReleaseNULL(ivars->interruptAction);
    OSSafeReleaseNULL(ivars->asyncEvent);
    ivars->card->Close(this, 0);
    return Stop(provider, SUPERDISPATCH);
}

kern_return_t IMPL(RAIDDext, UserInitializeController)
{
    kern_return_t status = MakeQueues();
    if (status == kIOReturnSuccess) status = CreateActionHandleAsyncEvent(sizeof(void *), &ivars->asyncEvent);
    if (status == kIOReturnSuccess) status = EnableCard();
    if (status == kIOReturnSuccess) {
        status = IOInterruptDispatchSource::Create(ivars->card, 0, ivars->interruptQueue, &ivars->interrupts);
    }
    if (status == kIOReturnSuccess) status = CreateActionInterruptOccurred(0, &ivars->interruptAction);
    if (status == kIOReturnSuccess) status = ivars->interrupts->SetHandler(ivars->interruptAction);
    if (status == kIOReturnSuccess) status = ivars->interrupts->SetEnable(true);
    if (status != kIOReturnSuccess) return status;
    ivars->legacyTasks = IONewZero(LegacyTask, ivars->taskCount);
    if (ivars->legacyTasks == nullptr) return kIOReturnNoMemory;
    return ReportConstraints();
}

kern_return_t RAIDDext::MakeQueues()
{
    const kern_return_t status = MakeAuxiliaryQueue(&ivars->auxiliaryQueue);
    return status == kIOReturnSuccess ? MakeInterruptQueue(&ivars->interruptQueue) : status;
}

kern_return_t RAIDDext::MakeAuxiliaryQueue(IODispatchQueue ** queue)
{
    const kern_return_t status = IODispatchQueue::Create("AuxiliaryQueue", 0, 0, queue);
    return status == kIOReturnSuccess ? SetDispatchQueue("AuxiliaryQueue", *queue) : status;
}

kern_return_t RAIDDext::MakeInterruptQueue(IODispatchQueue ** queue)
{
    const kern_return_t status = IODispatchQueue::Create("InterruptQueue", 0, 0, queue);
    return status == kIOReturnSuccess ? SetDispatchQueue("InterruptQueue", *queue) : status;
}

kern_return_t RAIDDext::ReportConstraints()
{
    OSDictionary * constraints =
        OSDynamicCast(OSDictionary, OSDictionaryGetValue(ivars->properties, "HBA Constraints"));
    return constraints != nullptr ? UserReportHBAConstraints(constraints) : kIOReturnBadArgument;
}

// MARK: Targets

kern_return_t IMPL(RAIDDext, UserStartController)
{
    // Targets are created on another queue, because their probe needs this one.
    AsyncEventHandler(ivars->asyncEvent, kIOReturnSuccess);
    return kIOReturnSuccess;
}

void IMPL(RAIDDext, HandleAsyncEvent)
{
    (void)action, (void)status;
    CreateTargets();
}

void RAIDDext::CreateTargets()
{
    for (uint64_t target = 0; target < Read(kTargetCount); ++target) CreateTarget(target);
}

void RAIDDext::CreateTarget(uint64_t targetID)
{
    OSDictionary * none = OSDictionary::withCapacity(1);
    UserCreateTargetForID(targetID, none);
    none->release();
}

kern_return_t IMPL(RAIDDext, UserInitializeTargetForID)
{
    return targetID < Read(kTargetCount) ? kIOReturnSuccess : kIOReturnNoDevice;
}

// MARK: Questions

template <class Value>
static kern_return_t Answer(Value * question, Value value)
{
    *question = value;
    return kIOReturnSuccess;
}

kern_return_t IMPL(RAIDDext, UserReportInitiatorIdentifier) { return Answer(id, kInitiatorID); }
kern_return_t IMPL(RAIDDext, UserReportHighestSupportedDeviceID) { return Answer(id, kHighestTargetID); }
kern_return_t IMPL(RAIDDext, UserReportMaximumTaskCount) { return Answer(count, ivars->taskCount); }
kern_return_t IMPL(RAIDDext, UserReportHBAHighestLogicalUnitNumber)
{
    return Answer<uint64_t>(value, Read(kLogicalUnitCount) - 1);
}
kern_return_t IMPL(RAIDDext, UserDoesHBAPerformAutoSense) { return Answer(result, true); }
kern_return_t IMPL(RAIDDext, UserDoesHBAPerformDeviceManagement) { return Answer(result, true); }
kern_return_t IMPL(RAIDDext, UserDoesHBASupportMultiPathing) { return Answer(result, false); }
kern_return_t IMPL(RAIDDext, UserDoesHBASupportSCSIParallelFeature) { return (void)theValue, Answer(result, false); }
kern_return_t IMPL(RAIDDext, UserMapHBAData) { return Answer(uniqueTaskID, ++ivars->lastTaskID); }

kern_return_t IMPL(RAIDDext, UserGetDMASpecification)
{
    OSDictionary * fields =
        OSDynamicCast(OSDictionary, OSDictionaryGetValue(ivars->properties, "DMA Specification"));
    *maxTransferSize = OSDictionaryGetUInt64Value(fields, "maxTransferSize");
    *alignment = (uint32_t)OSDictionaryGetUInt64Value(fields, "alignment");
    *numAddressBits = (uint8_t)OSDictionaryGetUInt64Value(fields, "numAddressBits");
    *segmentType = kDMAOutputSegmentHost64;
    return kIOReturnSuccess;
}

// MARK: Task management. The card finishes every command that it began.

static kern_return_t Reject(uint32_t * response)
{
    return Answer<uint32_t>(response, kSCSIServiceResponse_FUNCTION_REJECTED);
}
kern_return_t IMPL(RAIDDext, UserAbortTaskRequest) { return (void)theT, (void)theL, (void)theQ, Reject(response); }
kern_return_t IMPL(RAIDDext, UserAbortTaskSetRequest) { return (void)theT, (void)theL, Reject(response); }
kern_return_t IMPL(RAIDDext, UserClearACARequest) { return (void)theT, (void)theL, Reject(response); }
kern_return_t IMPL(RAIDDext, UserClearTaskSetRequest) { return (void)theT, (void)theL, Reject(response); }
kern_return_t IMPL(RAIDDext, UserLogicalUnitResetRequest) { return (void)theT, (void)theL, Reject(response); }
kern_return_t IMPL(RAIDDext, UserTargetResetRequest) { return (void)theT, Reject(response); }

// MARK: For subclasses

OSDictionary * RAIDDext::Properties() const { return ivars->properties; }
IODispatchQueue * RAIDDext::AuxiliaryQueue() const { return ivars->auxiliaryQueue; }
SCSIUserParallelTask * RAIDDext::Commands() const { return ivars->commands; }
SCSIUserParallelResponse * RAIDDext::Responses() const { return ivars->responses; }
OSAction * RAIDDext::BundledAction() const { return ivars->bundledAction; }
