// Tasks: from the system to the card, and back.

#include "RAIDDextState.h"

// MARK: From the system, on the Default queue

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
        // Retained once and never released: every bundled call carries this action.
        completion->retain();
        ivars->bundledAction = completion;
    }
    for (uint16_t index = 0; index < count; ++index) Post(ivars->commands[slots[index]], slots[index]);
    RingDoorbell();
}

kern_return_t IMPL(RAIDDext, UserProcessParallelTask)
{
    const uint32_t record = (uint32_t)parallelRequest.fControllerTaskIdentifier - 1;
    if (record >= ivars->taskCount) return kIOReturnBadArgument;
    Keep(completion);
    ivars->legacyTasks[record] = LegacyTask{completion, parallelRequest};
    *response = kSCSIServiceResponse_Request_In_Process;
    Post(parallelRequest, record | kLegacyTag);
    RingDoorbell();
    return kIOReturnSuccess;
}

void RAIDDext::Keep(OSAction * completion) { completion->retain(); }

// MARK: From the card, on the InterruptQueue

void IMPL(RAIDDext, InterruptOccurred)
{
    (void)action, (void)count, (void)time;
    TakeCompletions();
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
    response->version = kScsiUserParallelTaskResponseCurrentVersion1;
    response->fTargetID = task.fTargetID;
    response->fControllerTaskIdentifier = task.fControllerTaskIdentifier;
    if (completion.transportError) {
        response->fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
        response->fCompletionStatus = kSCSITaskStatus_DeliveryFailure;
        return;
    }
    response->fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE;
    response->fCompletionStatus = (SCSITaskStatus)completion.status;
    response->fBytesTransferred = completion.dataByteCount;
    const uint8_t room = sizeof(completion.sense);
    response->fSenseLength = completion.senseByteCount < room ? completion.senseByteCount : room;
    memcpy(response->fSenseBuffer, completion.sense, response->fSenseLength);
}

void RAIDDext::CompleteSlots(const uint16_t * slots, uint16_t count)
{
    // The call's parameter is an array of this size, whatever the count.
    uint16_t list[kMaxBundledParallelTasks] = {};
    memcpy(list, slots, sizeof(*slots) * count);
    BundledParallelTaskCompletion(ivars->bundledAction, list, count);
}

void RAIDDext::CompleteLegacy(uint32_t record, const RAIDCompletionDescriptor & completion)
{
    SCSIUserParallelResponse response;
    OSAction * action = ivars->legacyTasks[record].completion;
    Fill(&response, ivars->legacyTasks[record].task, completion);
    // Cleared first: the record may be in use again before the completion call returns.
    ivars->legacyTasks[record].completion = nullptr;
    Complete(action, response);
}

void RAIDDext::Complete(OSAction * completion, const SCSIUserParallelResponse & response)
{
    ParallelTaskCompletion(completion, response);
    completion->release();
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
