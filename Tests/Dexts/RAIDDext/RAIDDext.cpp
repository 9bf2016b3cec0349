#include <CRAIDCard.h>
#include <DriverKit/DriverKit.h>
#include <PCIDriverKit/PCIDriverKit.h>
#include <SCSIControllerDriverKit/SCSIControllerDriverKit.h>

#include "RAIDDext.h"

// The card's registers. RAIDControllerRegister.swift describes them.
enum : uint64_t {
    kIdentification = 0x00, kControl = 0x04, kTargetCount = 0x08, kLogicalUnitCount = 0x0C, kSubmissionBaseLow = 0x10,
    kSubmissionBaseHigh = 0x14, kSubmissionCapacity = 0x18, kSubmissionTail = 0x1C, kCompletionBaseLow = 0x20,
    kCompletionBaseHigh = 0x24, kCompletionCapacity = 0x28,
};
static const uint32_t kIdentity = 0x52414944, kCapacity = 1024, kLegacyTag = 1u << 31;
static const uint64_t kHighestTargetID = 62, kInitiatorID = 63;

/// Memory of the driver's own that the card reaches.
struct DMAMemory
{
    IOBufferMemoryDescriptor * descriptor;
    IODMACommand * command;
    uint8_t * bytes;
    uint64_t busAddress;
};

struct LegacyTask
{
    OSAction * completion;
    SCSIUserParallelTask task;
};

struct RAIDDext_IVars
{
    IOPCIDevice * card;
    IODispatchQueue * auxiliaryQueue;
    IODispatchQueue * interruptQueue;
    IOInterruptDispatchSource * interrupts;
    OSAction * interruptAction;
    OSAction * asyncEvent;
    DMAMemory submissions;
    DMAMemory completions;
    uint32_t submissionTail;
    uint32_t completionHead;
    uint32_t taskCount;
    uint32_t lastTaskID;
    LegacyTask * legacyTasks;
    SCSIUserParallelTask * commands;       ///< the shared slots
    SCSIUserParallelResponse * responses;
    OSAction * bundledAction;              ///< retained once, for ever
    OSDictionary * properties;
};

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
    if (Makes("destroy-in-stop")) UserDestroyTargetForID(0);
    Write(kControl, 0);
    if (ivars->interrupts != nullptr) ivars->interrupts->Cancel(nullptr);
    // The actions hold the driver, so that it could never be freed.
    OSSafeReleaseNULL(ivars->interruptAction);
    OSSafeReleaseNULL(ivars->asyncEvent);
    ivars->card->Close(this, 0);
    return Stop(provider, SUPERDISPATCH);
}

bool RAIDDext::Makes(const char * mistake) const
{
    const char * made = OSDictionaryGetStringValue(ivars->properties, "Mistake");
    return made != nullptr && strcmp(made, mistake) == 0;
}

kern_return_t RAIDDext::MakeQueues()
{
    kern_return_t status = IODispatchQueue::Create("AuxiliaryQueue", 0, 0, &ivars->auxiliaryQueue);
    if (status == kIOReturnSuccess && !Makes("no-auxiliary-queue")) {
        status = SetDispatchQueue("AuxiliaryQueue", ivars->auxiliaryQueue);
    }
    if (status != kIOReturnSuccess) return status;
    if (Makes("interrupts-on-auxiliary-queue")) return CopyDispatchQueue("AuxiliaryQueue", &ivars->interruptQueue);
    if (Makes("interrupts-on-default-queue")) return CopyDispatchQueue("Default", &ivars->interruptQueue);
    status = IODispatchQueue::Create("InterruptQueue", 0, 0, &ivars->interruptQueue);
    return status == kIOReturnSuccess ? SetDispatchQueue("InterruptQueue", ivars->interruptQueue) : status;
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
    return Makes("constraints-not-reported") ? kIOReturnSuccess : ReportConstraints();
}

kern_return_t RAIDDext::ReportConstraints()
{
    OSDictionary * constraints =
        OSDynamicCast(OSDictionary, OSDictionaryGetValue(ivars->properties, "HBA Constraints"));
    return constraints != nullptr ? UserReportHBAConstraints(constraints) : kIOReturnBadArgument;
}

kern_return_t IMPL(RAIDDext, UserStartController)
{
    OSDictionary * none = OSDictionary::withCapacity(1);
    if (Makes("create-on-default-queue")) UserCreateTargetForID(0, none);
    none->release();
    if (Makes("sleep-in-start-controller")) IOSleep(1500);
    AsyncEventHandler(ivars->asyncEvent, kIOReturnSuccess);
    if (Makes("wait-in-start-controller")) {
        IOSleep(50);
        ivars->auxiliaryQueue->DispatchSync(^{});
    }
    return kIOReturnSuccess;
}

void IMPL(RAIDDext, HandleAsyncEvent)
{
    (void)action, (void)status;
    OSDictionary * none = OSDictionary::withCapacity(1);
    for (uint64_t target = 0; target < Read(kTargetCount); ++target) UserCreateTargetForID(target, none);
    if (Makes("target-created-twice")) UserCreateTargetForID(0, none);
    none->release();
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
kern_return_t IMPL(RAIDDext, UserReportMaximumTaskCount)
{
    return Answer(count, Makes("no-tasks") ? 0 : ivars->taskCount);
}
kern_return_t IMPL(RAIDDext, UserReportHBAHighestLogicalUnitNumber)
{
    return Answer<uint64_t>(value, Read(kLogicalUnitCount) - 1);
}
kern_return_t IMPL(RAIDDext, UserDoesHBAPerformAutoSense) { return Answer(result, true); }
kern_return_t IMPL(RAIDDext, UserDoesHBAPerformDeviceManagement)
{
    return Answer(result, !Makes("target-created-and-scanned"));
}
kern_return_t IMPL(RAIDDext, UserDoesHBASupportMultiPathing) { return Answer(result, false); }
kern_return_t IMPL(RAIDDext, UserDoesHBASupportSCSIParallelFeature) { return (void)theValue, Answer(result, false); }

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

kern_return_t IMPL(RAIDDext, UserMapHBAData)
{
    if (Makes("task-id-zero")) return kIOReturnSuccess;
    return Answer(uniqueTaskID, Makes("task-id-repeated") ? 1 : ++ivars->lastTaskID);
}
kern_return_t IMPL(RAIDDext, UserInitializeTargetForID)
{
    return targetID < Read(kTargetCount) ? kIOReturnSuccess : kIOReturnNoDevice;
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

// MARK: Tasks, on the Default queue

kern_return_t IMPL(RAIDDext, UserMapBundledParallelTaskCommandAndResponseBuffers)
{
    IOMemoryMap * commandMap = nullptr;
    IOMemoryMap * responseMap = nullptr;
    kern_return_t status = commandMemory->CreateMapping(0, 0, 0, 0, 0, &commandMap);
    if (status == kIOReturnSuccess) status = responseMemory->CreateMapping(0, 0, 0, 0, 0, &responseMap);
    if (status != kIOReturnSuccess) return status;
    // The addresses are taken now: the descriptors do not outlive this call. The maps stay for ever.
    ivars->commands = (SCSIUserParallelTask *)commandMap->GetAddress();
    ivars->responses = (SCSIUserParallelResponse *)responseMap->GetAddress();
    return kIOReturnSuccess;
}

void IMPL(RAIDDext, UserProcessBundledParallelTasks)
{
    if (ivars->bundledAction == nullptr) {
        completion->retain();
        ivars->bundledAction = completion;
    }
    if (Makes("data-buffer-in-bundled-call")) {
        IOBufferMemoryDescriptor * buffer = nullptr;
        const SCSIUserParallelTask & task = ivars->commands[slots[0]];
        UserGetDataBuffer(task.fTargetID, task.fControllerTaskIdentifier, &buffer);
        OSSafeReleaseNULL(buffer);
    }
    for (uint16_t index = 0; index < count; ++index) Post(ivars->commands[slots[index]], slots[index]);
    RingDoorbell();
}

kern_return_t IMPL(RAIDDext, UserProcessParallelTask)
{
    const uint32_t record = (uint32_t)parallelRequest.fControllerTaskIdentifier - 1;
    if (record >= ivars->taskCount) return kIOReturnBadArgument;
    if (!Makes("missing-retain")) completion->retain();
    ivars->legacyTasks[record] = LegacyTask{completion, parallelRequest};
    *response = Makes("immediate-response")
        ? kSCSIServiceResponse_TASK_COMPLETE : kSCSIServiceResponse_Request_In_Process;
    Post(parallelRequest, record | kLegacyTag);
    RingDoorbell();
    return kIOReturnSuccess;
}

// MARK: Completions, on the InterruptQueue

void IMPL(RAIDDext, InterruptOccurred)
{
    (void)action, (void)count, (void)time;
    if (Makes("completions-wait-for-creating-queue")) {
        ivars->auxiliaryQueue->DispatchSync(^{ TakeCompletions(); });
    } else if (Makes("completions-on-creating-queue")) {
        ivars->auxiliaryQueue->DispatchAsync(^{ TakeCompletions(); });
    } else {
        TakeCompletions();
    }
}

void RAIDDext::TakeCompletions()
{
    const auto header = (const RAIDCompletionRingHeader *)ivars->completions.bytes;
    const auto entries = (const RAIDCompletionDescriptor *)(header + 1);
    const uint32_t producerIndex = RAIDCompletionRingLoadProducerIndex(header);
    uint16_t slots[kMaxBundledParallelTasks];
    uint16_t count = 0;
    for (; ivars->completionHead != producerIndex; ++ivars->completionHead) {
        const RAIDCompletionDescriptor & completion = entries[ivars->completionHead & (kCapacity - 1)];
        if (completion.tag & kLegacyTag) {
            CompleteLegacy(completion.tag & ~kLegacyTag, completion);
            continue;
        }
        Fill(&ivars->responses[completion.tag], ivars->commands[completion.tag], completion);
        slots[count++] = (uint16_t)completion.tag;
        if (count == kMaxBundledParallelTasks) {
            CompleteSlots(slots, count);
            count = 0;
        }
    }
    if (count != 0) CompleteSlots(slots, count);
}

void RAIDDext::Fill(
    SCSIUserParallelResponse * response, const SCSIUserParallelTask & task, const RAIDCompletionDescriptor & completion)
{
    memset(response, 0, sizeof(*response));
    response->version = Makes("response-version") ? 0 : kScsiUserParallelTaskResponseCurrentVersion1;
    response->fTargetID = task.fTargetID + Makes("response-names-another-target");
    response->fControllerTaskIdentifier =
        task.fControllerTaskIdentifier + (Makes("response-names-another-task") ? 1000 : 0);
    if (completion.transportError) {
        response->fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
        response->fCompletionStatus = kSCSITaskStatus_DeviceNotPresent;
        return;
    }
    response->fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE;
    response->fCompletionStatus = (SCSITaskStatus)completion.status;
    response->fBytesTransferred = Makes("transfer-count-forgotten") ? 0 : completion.dataByteCount;
    if (Makes("transfer-count-too-large")) response->fBytesTransferred += 4096;
    response->fSenseLength = completion.senseByteCount;
    memcpy(response->fSenseBuffer, completion.sense, completion.senseByteCount);
}

void RAIDDext::CompleteSlots(const uint16_t * slots, uint16_t count)
{
    uint16_t list[kMaxBundledParallelTasks] = {};
    memcpy(list, slots, sizeof(*slots) * count);
    if (Makes("bundled-completed-as-legacy")) {
        for (uint16_t index = 0; index < count; ++index) {
            ParallelTaskCompletion(ivars->bundledAction, ivars->responses[slots[index]]);
        }
        return;
    }
    BundledParallelTaskCompletion(ivars->bundledAction, list, count);
    if (Makes("slot-completed-twice")) BundledParallelTaskCompletion(ivars->bundledAction, list, count);
    if (Makes("over-release")) ivars->bundledAction->release();
}

void RAIDDext::CompleteLegacy(uint32_t record, const RAIDCompletionDescriptor & completion)
{
    SCSIUserParallelResponse response;
    OSAction * action = ivars->legacyTasks[record].completion;
    Fill(&response, ivars->legacyTasks[record].task, completion);
    // Cleared first: the record may be in use again before the completion call returns.
    ivars->legacyTasks[record].completion = nullptr;
    if (Makes("legacy-completed-as-bundled")) {
        uint16_t list[kMaxBundledParallelTasks] = {(uint16_t)record};
        BundledParallelTaskCompletion(action, list, 1);
    } else {
        ParallelTaskCompletion(action, response);
    }
    if (!Makes("missing-retain")) action->release();
}

// MARK: The card

uint32_t RAIDDext::Read(uint64_t offset) const
{
    uint32_t value = 0;
    ivars->card->MemoryRead32(0, offset, &value);
    return value;
}

void RAIDDext::Write(uint64_t offset, uint32_t value) { ivars->card->MemoryWrite32(0, offset, value); }

static kern_return_t Allocate(IOPCIDevice * card, uint64_t byteCount, DMAMemory * memory)
{
    IODMACommandSpecification specification = {};
    specification.maxAddressBits = 64;
    IOAddressSegment range = {}, segment = {};
    uint64_t flags = 0;
    uint32_t segmentCount = 1;
    kern_return_t status =
        IOBufferMemoryDescriptor::Create(kIOMemoryDirectionInOut, byteCount, PAGE_SIZE, &memory->descriptor);
    if (status == kIOReturnSuccess) status = memory->descriptor->GetAddressRange(&range);
    if (status == kIOReturnSuccess) status = IODMACommand::Create(card, 0, &specification, &memory->command);
    if (status == kIOReturnSuccess) {
        status = memory->command->PrepareForDMA(0, memory->descriptor, 0, 0, &flags, &segmentCount, &segment);
    }
    memory->bytes = (uint8_t *)range.address;
    memory->busAddress = segment.address;
    return status;
}

kern_return_t RAIDDext::EnableCard()
{
    if (Read(kIdentification) != kIdentity) return kIOReturnNoDevice;
    kern_return_t status = Allocate(ivars->card, kCapacity * sizeof(RAIDCommandDescriptor), &ivars->submissions);
    if (status == kIOReturnSuccess) {
        status = Allocate(
            ivars->card, sizeof(RAIDCompletionRingHeader) + kCapacity * sizeof(RAIDCompletionDescriptor),
            &ivars->completions);
    }
    if (status != kIOReturnSuccess) return status;
    Write(kSubmissionBaseLow, (uint32_t)ivars->submissions.busAddress);
    Write(kSubmissionBaseHigh, (uint32_t)(ivars->submissions.busAddress >> 32));
    Write(kSubmissionCapacity, kCapacity);
    Write(kCompletionBaseLow, (uint32_t)ivars->completions.busAddress);
    Write(kCompletionBaseHigh, (uint32_t)(ivars->completions.busAddress >> 32));
    Write(kCompletionCapacity, kCapacity);
    Write(kControl, 1);
    return kIOReturnSuccess;
}

void RAIDDext::Post(const SCSIUserParallelTask & task, uint32_t tag)
{
    const auto entries = (RAIDCommandDescriptor *)ivars->submissions.bytes;
    RAIDCommandDescriptor & command = entries[ivars->submissionTail++ & (kCapacity - 1)];
    command.tag = tag;
    command.targetID = (uint16_t)task.fTargetID;
    command.logicalUnit = task.fLogicalUnitBytes[1];
    command.cdbSize = task.fCommandSize;
    memcpy(command.cdb, task.fCommandDescriptorBlock, sizeof(command.cdb));
    command.dataAddress = task.fBufferIOVMAddr;
    command.dataByteCount = task.fRequestedTransferCount;
    command.direction = task.fTransferDirection;
}

void RAIDDext::RingDoorbell()
{
    RAIDSubmissionRingPublish();
    Write(kSubmissionTail, ivars->submissionTail);
}
