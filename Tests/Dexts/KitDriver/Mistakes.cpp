// Mistakes, one at a time: the property KitMistake of the personality names it. Each is found by nbdext, not by the
// driver. Those of tasks are made with every WRITE.

#include <DriverKit/DriverKit.h>
#include <SCSIControllerDriverKit/SCSIControllerDriverKit.h>
#include <string.h>

#include "KitDriver.h"

bool KitDriver::Makes(const char * mistake) const { return strcmp(ivars->mistake, mistake) == 0; }

void KitDriver::ReadMistake(OSDictionary * properties)
{
    const char * mistake = OSDictionaryGetStringValue(properties, "KitMistake");
    if (mistake != nullptr) strlcpy(ivars->mistake, mistake, sizeof(ivars->mistake));
}

/// Mistakes of UserStartController.
void KitDriver::MakeMistakes()
{
    if (Makes("create-on-default-queue")) {
        OSDictionary * properties = OSDictionary::withCapacity(1);
        UserCreateTargetForID(0, properties);
        properties->release();
    }
    if (Makes("missing-queue")) OnMissingQueue();
    if (Makes("queue-waits-for-itself")) ivars->mathQueue->DispatchSync(^{ ivars->mathQueue->DispatchSync(^{}); });
    if (Makes("queue-cycle")) {
        ivars->mathQueue->DispatchAsync(^{
            IOSleep(20);
            ivars->eventQueue->DispatchSync(^{});
        });
        ivars->eventQueue->DispatchAsync(^{
            IOSleep(20);
            ivars->mathQueue->DispatchSync(^{});
        });
    }
    if (Makes("sleep-in-start-controller")) IOSleep(6000);
    if (Makes("wrong-action")) {
        uint16_t list[kKitListCount] = {};
        OSAction * action = nullptr;
        CreateActionTimeIsUp(0, &action);
        EventHappened(action, KitPair{}, list, "never", nullptr);
        action->release();
    }
    if (Makes("released-object")) {
        KitObject * object = nullptr;
        Make(1, &object);
        object->release();
        object->release();
    }
    if (Makes("no-super-free")) {
        KitObject * object = nullptr;
        Make(kKitValueThatIsLost, &object);
        object->release();
    }
    if (Makes("wrong-free-size")) IOFree(IOMalloc(100), 100000);
    if (Makes("lock-taken-twice")) {
        IOLock * lock = IOLockAlloc();
        IOLockLock(lock);
        IOLockLock(lock);
    }
    if (Makes("crash")) *(volatile int *)8 = 1;
    if (Makes("never-returns")) while (true) IOSleep(1000);
}

/// Mistakes of a task's end. Returns whether the task is completed after all.
bool KitDriver::SpoilTask(const SCSIUserParallelTask & task, SCSIUserParallelResponse * response, OSAction * completion)
{
    if (task.fTransferDirection != kSCSIDataTransfer_FromInitiatorToTarget) return true;
    if (Makes("response-version")) response->version = 0;
    if (Makes("response-names-another-task")) response->fControllerTaskIdentifier += 1000;
    if (Makes("response-names-another-target")) response->fTargetID += 1;
    if (Makes("transfer-count-forgotten")) response->fBytesTransferred = 0;
    if (Makes("transfer-count-too-large")) response->fBytesTransferred += 4096;
    if (Makes("over-release")) {
        ParallelTaskCompletion(completion, *response);
        completion->release();
        return false;
    }
    if (Makes("missing-retain")) {
        SCSIUserParallelResponse copy = *response;
        ivars->eventQueue->DispatchAsync(^{
            IOSleep(5);
            ParallelTaskCompletion(completion, copy);
        });
        return false;
    }
    if (Makes("completed-twice")) ParallelTaskCompletion(completion, *response);
    if (Makes("legacy-completed-as-bundled")) {
        uint16_t slot = (uint16_t)(task.fControllerTaskIdentifier - 1);
        BundledParallelTaskCompletion(completion, &slot, 1);
        return false;
    }
    if (Makes("data-buffer-outside-task")) {
        ivars->eventQueue->DispatchAsync(^{
            IOBufferMemoryDescriptor * buffer = nullptr;
            UserGetDataBuffer(0, 1, &buffer);
            OSSafeReleaseNULL(buffer);
        });
    }
    if (!Makes("task-never-completed")) return true;
    completion->retain();
    return false;
}

/// Passes slots back, with the mistakes of that.
void KitDriver::CompleteSlots(const uint16_t * slots, uint16_t count, OSAction * completion)
{
    if (Makes("bundled-completed-as-legacy")) {
        for (uint16_t index = 0; index < count; ++index) {
            ParallelTaskCompletion(completion, ivars->responses[slots[index]]);
        }
        return;
    }
    uint16_t list[kMaxBundledParallelTasks] = {};
    memcpy(list, slots, sizeof(uint16_t) * count);
    if (Makes("slot-out-of-range")) list[0] = kTaskCount + 100;
    BundledParallelTaskCompletion(completion, list, Makes("no-slots") ? 0 : count);
    if (Makes("slot-completed-twice")) BundledParallelTaskCompletion(completion, list, count);
    if (Makes("slot-written-after-completion")) {
        // As a second interrupt for the command before does: the kernel has read its response.
        if (ivars->lastResponse != nullptr) ivars->lastResponse->version = kScsiUserParallelTaskResponseCurrentVersion1;
        ivars->lastResponse = &ivars->responses[slots[0]];
    }
    if (Makes("bundled-action-released")) completion->release();
}
