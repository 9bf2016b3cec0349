// Mistakes with tasks: slots, actions, responses, data; by the names of `nbdext scenario list`.

#include "Mistakes.h"

/// Operation codes of commands (SPC-4, SBC-3).
enum : uint8_t {
    kTestUnitReady = 0x00, kModeSense6 = 0x1A, kRead10 = 0x28, kWrite10 = 0x2A, kSynchronizeCache10 = 0x35,
};

static uint8_t OperationCode(const SCSIUserParallelTask & task) { return task.fCommandDescriptorBlock[0]; }

static bool IsWrite(const SCSIUserParallelTask & task)
{
    return task.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget;
}

/// Whether two WRITE(10) have blocks in common.
static bool Overlap(const SCSIUserParallelTask & left, const SCSIUserParallelTask & right)
{
    if (OperationCode(left) != kWrite10 || OperationCode(right) != kWrite10) return false;
    const auto first = [](const uint8_t * cdb) {
        return (uint32_t)cdb[2] << 24 | (uint32_t)cdb[3] << 16 | (uint32_t)cdb[4] << 8 | cdb[5];
    };
    const auto count = [](const uint8_t * cdb) { return (uint32_t)cdb[7] << 8 | cdb[8]; };
    const uint8_t * one = left.fCommandDescriptorBlock;
    const uint8_t * other = right.fCommandDescriptorBlock;
    return first(one) < first(other) + count(other) && first(other) < first(one) + count(one);
}

/// Makes it a CHECK CONDITION, with current sense data in the fixed format (SPC-4, 4.5.3).
static void Fail(SCSIUserParallelResponse * response, uint8_t byteCount, uint8_t key, uint8_t code, uint8_t qualifier)
{
    response->fCompletionStatus = kSCSITaskStatus_CHECK_CONDITION;
    response->fSenseLength = byteCount;
    response->fSenseBuffer[0] = 0x70;
    response->fSenseBuffer[2] = key;
    response->fSenseBuffer[7] = byteCount - 8;
    response->fSenseBuffer[12] = code;
    response->fSenseBuffer[13] = qualifier;
}

// MARK: From the system

kern_return_t IMPL(FaultyDext, UserMapBundledParallelTaskCommandAndResponseBuffers)
{
    if (Makes("bundled-mode-declined")) return kIOReturnNotReady;
    if (!Makes("late-get-address")) {
        return UserMapBundledParallelTaskCommandAndResponseBuffers(commandMemory, responseMemory, SUPERDISPATCH);
    }
    const kern_return_t status = commandMemory->CreateMapping(0, 0, 0, 0, 0, &ivars->commandMap);
    return status == kIOReturnSuccess ? responseMemory->CreateMapping(0, 0, 0, 0, 0, &ivars->responseMap) : status;
}

void IMPL(FaultyDext, UserProcessBundledParallelTasks)
{
    if (Makes("late-get-address")) {
        ivars->commandMap->GetAddress();
        ivars->responseMap->GetAddress();
        return;
    }
    if (Makes("slot-dropped") && IsWrite(Commands()[slots[0]])) return;
    if (Makes("data-buffer-in-bundled-call")) TakeDataBuffer(Commands()[slots[0]]);
    if (Makes("flush-ignored") || Makes("write-not-executed")) {
        const uint8_t answered = Makes("flush-ignored") ? kSynchronizeCache10 : kWrite10;
        for (uint16_t index = 0; index < count; ++index) {
            if (OperationCode(Commands()[slots[index]]) == answered) {
                AnswerWithoutCard(slots[index]);
            } else {
                UserProcessBundledParallelTasks(&slots[index], 1, completion, SUPERDISPATCH);
            }
        }
        return;
    }
    UserProcessBundledParallelTasks(slots, count, completion, SUPERDISPATCH);
}

void FaultyDext::AnswerWithoutCard(uint16_t slot)
{
    const SCSIUserParallelTask & task = Commands()[slot];
    SCSIUserParallelResponse * response = &Responses()[slot];
    memset(response, 0, sizeof(*response));
    response->version = kScsiUserParallelTaskResponseCurrentVersion1;
    response->fTargetID = task.fTargetID;
    response->fControllerTaskIdentifier = task.fControllerTaskIdentifier;
    response->fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE;
    response->fCompletionStatus = kSCSITaskStatus_GOOD;
    response->fBytesTransferred = task.fRequestedTransferCount;
    CompleteSlots(&slot, 1);
}

kern_return_t IMPL(FaultyDext, UserProcessParallelTask)
{
    if (Makes("immediate-response")) {
        *response = kSCSIServiceResponse_TASK_COMPLETE;
        return kIOReturnSuccess;
    }
    if (Makes("address-used-after-data-buffer") && IsWrite(parallelRequest)) TakeDataBuffer(parallelRequest);
    return UserProcessParallelTask(parallelRequest, response, completion, SUPERDISPATCH);
}

void FaultyDext::TakeDataBuffer(const SCSIUserParallelTask & task)
{
    IOBufferMemoryDescriptor * buffer = nullptr;
    UserGetDataBuffer(task.fTargetID, task.fControllerTaskIdentifier, &buffer);
    OSSafeReleaseNULL(buffer);
}

void FaultyDext::Keep(OSAction * completion)
{
    if (!Makes("missing-retain")) super::Keep(completion);
}

void FaultyDext::Post(const SCSIUserParallelTask & task, uint32_t tag)
{
    if (!IsWrite(task)) return super::Post(task, tag);
    if (Makes("tasks-outstanding-at-stop")) return;
    if (Makes("bus-address-dereferenced")) ivars->lastByte = *(const volatile uint8_t *)task.fBufferIOVMAddr;
    if (Makes("writes-reordered") && OperationCode(task) == kWrite10 && BundledAction() != nullptr && !ivars->hasHeld) {
        // Until a later write to the same blocks has ended: CompleteSlots.
        ivars->hasHeld = true;
        ivars->held = &task;
        ivars->heldTag = tag;
        return;
    }
    SCSIUserParallelTask posted = task;
    if (Makes("dart-fault")) posted.fRequestedTransferCount *= 2;
    super::Post(posted, tag);
}

// MARK: From the card

void FaultyDext::Fill(
    SCSIUserParallelResponse * response, const SCSIUserParallelTask & task, const RAIDCompletionDescriptor & completion)
{
    super::Fill(response, task, completion);
    Spoil(response, task);
    // A legacy task's action is gone after its first completion.
    if (Makes("completed-too-early") && IsWrite(task) && BundledAction() != nullptr && !ivars->hasSplit
        && (completion.tag & kLegacyTag) == 0) {
        // The card works on it once more, while it is passed back.
        ivars->hasSplit = true;
        super::Post(task, completion.tag);
        RingDoorbell();
    }
}

void FaultyDext::Spoil(SCSIUserParallelResponse * response, const SCSIUserParallelTask & task)
{
    if (Makes("response-version")) response->version = 0;
    if (Makes("response-names-another-task")) response->fControllerTaskIdentifier += 1000;
    if (Makes("response-names-another-target")) response->fTargetID += 1;
    if (Makes("transfer-count-forgotten") && IsWrite(task)) response->fBytesTransferred = 0;
    if (Makes("transfer-count-too-large")) response->fBytesTransferred += 4096;
    if (Makes("guard-until-registered") && !IsSet(&ivars->isRegistered)) {
        response->fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
        response->fCompletionStatus = kSCSITaskStatus_DeviceNotResponding;
    }
    switch (OperationCode(task)) {
        case kTestUnitReady:
            // NOT READY, becoming ready.
            if (Makes("not-ready-too-long")) Fail(response, 18, 0x02, 0x04, 0x01);
            break;
        case kModeSense6:
            // ILLEGAL REQUEST, INVALID FIELD IN CDB.
            if (Makes("sense-data-too-long")) Fail(response, 255, 0x05, 0x24, 0x00);
            if (Makes("no-sense-data")) Fail(response, 0, 0x05, 0x24, 0x00);
            break;
        case kRead10:
            // NOT READY, MEDIUM NOT PRESENT.
            if (Makes("medium-gone")) Fail(response, 18, 0x02, 0x3A, 0x00);
            break;
    }
}

void FaultyDext::CompleteSlots(const uint16_t * slots, uint16_t count)
{
    if (Makes("completion-lost")) {
        for (uint16_t index = 0; index < count; ++index) {
            if (!IsWrite(Commands()[slots[index]])) super::CompleteSlots(&slots[index], 1);
        }
        return;
    }
    if (Makes("bundled-completed-as-legacy")) {
        for (uint16_t index = 0; index < count; ++index) {
            ParallelTaskCompletion(BundledAction(), Responses()[slots[index]]);
        }
        return;
    }
    if (Makes("slot-count-zero")) super::CompleteSlots(slots, 0);
    if (Makes("slot-count-too-large")) {
        uint16_t many[40];
        for (uint16_t & slot : many) slot = slots[0];
        BundledParallelTaskCompletion(BundledAction(), many, 40);
    }
    bool isHeldDue = false;
    for (uint16_t index = 0; index < count && ivars->held != nullptr; ++index) {
        isHeldDue = isHeldDue || Overlap(Commands()[slots[index]], *ivars->held);
    }
    super::CompleteSlots(slots, count);
    if (Makes("slot-completed-twice")) super::CompleteSlots(slots, count);
    if (Makes("over-release")) BundledAction()->release();
    if (Makes("slot-unknown")) {
        const uint16_t unknown = 999;
        super::CompleteSlots(&unknown, 1);
    }
    if (Makes("slot-touched-after-completion")) {
        for (uint16_t slot = 0; slot < 32; ++slot) {
            Responses()[slot].version = kScsiUserParallelTaskResponseCurrentVersion1;
        }
    }
    if (isHeldDue) {
        super::Post(*ivars->held, ivars->heldTag);
        ivars->held = nullptr;
        RingDoorbell();
    }
}

void FaultyDext::Complete(OSAction * completion, const SCSIUserParallelResponse & response)
{
    if (!Makes("legacy-completed-as-bundled")) return super::Complete(completion, response);
    const uint16_t slots[kMaxBundledParallelTasks] = {(uint16_t)(response.fControllerTaskIdentifier - 1)};
    BundledParallelTaskCompletion(completion, slots, 1);
    completion->release();
}
