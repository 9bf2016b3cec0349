// Mistakes with the kit, one at a time: the property KitMistake of the personality names it. Each is found by nbdext, not
// by the driver. Those of drivers in general are the scenarios' (`nbdext scenario run --language c++`).

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
    if (Makes("missing-queue")) OnMissingQueue();
    if (Makes("queue-waits-for-itself")) ivars->mathQueue->DispatchSync(^{ ivars->mathQueue->DispatchSync(^{}); });
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
    if (Makes("never-returns")) while (true) IOSleep(1000);
}
