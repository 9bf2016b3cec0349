// Mistakes in the life cycle and in the use of queues, by the names of `nbdext scenario list`.

#include "Mistakes.h"

// MARK: The mistake

bool FaultyDext::init()
{
    if (!super::init()) return false;
    ivars = IONewZero(FaultyDext_IVars, 1);
    if (ivars == nullptr) return false;
    ivars->mistake = "";
    return true;
}

void FaultyDext::free()
{
    if (ivars != nullptr) {
        OSSafeReleaseNULL(ivars->commandMap);
        OSSafeReleaseNULL(ivars->responseMap);
    }
    IOSafeDeleteNULL(ivars, FaultyDext_IVars, 1);
    super::free();
}

kern_return_t IMPL(FaultyDext, Start)
{
    const kern_return_t status = Start(provider, SUPERDISPATCH);
    if (status != kIOReturnSuccess) return status;
    const char * mistake = OSDictionaryGetStringValue(Properties(), "Mistake");
    if (mistake != nullptr) ivars->mistake = mistake;
    return status;
}

bool FaultyDext::Makes(const char * mistake) const { return strcmp(ivars->mistake, mistake) == 0; }

// MARK: Between queues

kern_return_t FaultyDext::MakeAuxiliaryQueue(IODispatchQueue ** queue)
{
    if (Makes("no-auxiliary-queue")) return IODispatchQueue::Create("AuxiliaryQueue", 0, 0, queue);
    if (!Makes("completions-on-creating-queue")) return super::MakeAuxiliaryQueue(queue);
    const kern_return_t status = IODispatchQueue::Create("FCQ", 0, 0, queue);
    return status == kIOReturnSuccess ? SetDispatchQueue("AuxiliaryQueue", *queue) : status;
}

kern_return_t FaultyDext::MakeInterruptQueue(IODispatchQueue ** queue)
{
    if (Makes("interrupts-on-auxiliary-queue")) return CopyDispatchQueue("AuxiliaryQueue", queue);
    if (Makes("interrupts-on-default-queue")) return CopyDispatchQueue("Default", queue);
    return super::MakeInterruptQueue(queue);
}

void FaultyDext::TakeCompletions()
{
    // The address of the action's field in a record at no address is 8.
    if (Makes("interrupt-before-initialization") && ivars->record->action == nullptr) return;
    if (Makes("completions-wait-for-creating-queue")) {
        AuxiliaryQueue()->DispatchSync(^{ RAIDDext::TakeCompletions(); });
    } else if (Makes("completions-on-creating-queue")) {
        AuxiliaryQueue()->DispatchAsync(^{ RAIDDext::TakeCompletions(); });
    } else {
        super::TakeCompletions();
    }
}

void FaultyDext::CrossQueues()
{
    // Nobody releases them: their blocks never end.
    IODispatchQueue * first = nullptr;
    IODispatchQueue * second = nullptr;
    IODispatchQueue::Create("FirstQueue", 0, 0, &first);
    IODispatchQueue::Create("SecondQueue", 0, 0, &second);
    first->DispatchAsync(^{
        WaitFor(&ivars->isSecondTaken);
        second->DispatchSync(^{});
    });
    second->DispatchSync(^{
        Set(&ivars->isSecondTaken);
        IOSleep(20);
        first->DispatchSync(^{});
    });
}

// MARK: Start and stop

kern_return_t IMPL(FaultyDext, UserInitializeController)
{
    const kern_return_t status = UserInitializeController(SUPERDISPATCH);
    if (Makes("interrupt-before-initialization")) Write(kInterruptTest, 1);
    return status;
}

kern_return_t IMPL(FaultyDext, UserStartController)
{
    if (Makes("create-on-default-queue")) {
        CreateTarget(0);
        return kIOReturnSuccess;
    }
    if (Makes("sleep-in-start-controller")) IOSleep(1500);
    if (Makes("constraints-reported-late")) ReportConstraints();
    const kern_return_t status = UserStartController(SUPERDISPATCH);
    if (Makes("wait-in-start-controller")) {
        WaitFor(&ivars->isCreating);
        AuxiliaryQueue()->DispatchSync(^{});
    }
    if (Makes("driver-crash")) {
        // An index that was counted below 0. No program has memory so far behind the array.
        static const uint32_t ring[16] = {};
        const uint64_t index = (uint64_t)((uint32_t)status - 1) << 16;
        return ((const volatile uint32_t *)ring)[index] == 0 ? status : kIOReturnError;
    }
    return status;
}

kern_return_t FaultyDext::ReportConstraints()
{
    return Makes("constraints-not-reported") ? kIOReturnSuccess : super::ReportConstraints();
}

kern_return_t IMPL(FaultyDext, Stop)
{
    if (Makes("destroy-in-stop")) UserDestroyTargetForID(0);
    if (Makes("wait-in-stop")) {
        Set(&ivars->isStopping);
        WaitFor(&ivars->isCreatingAtStop);
        AuxiliaryQueue()->DispatchSync(^{});
    }
    return Stop(provider, SUPERDISPATCH);
}

kern_return_t IMPL(FaultyDext, SetPowerState)
{
    return Makes("power-change-not-acknowledged") ? kIOReturnSuccess : SetPowerState(powerFlags, SUPERDISPATCH);
}

// MARK: Targets

void FaultyDext::CreateTargets()
{
    Set(&ivars->isCreating);
    if (Makes("queue-cycle")) CrossQueues();
    super::CreateTargets();
    Set(&ivars->isRegistered);
    if (Makes("target-created-twice")) CreateTarget(0);
    if (Makes("target-above-highest-id")) CreateTarget(5);
    if (Makes("wait-in-stop")) {
        // A disk arrives at the moment of the shutdown.
        WaitFor(&ivars->isStopping);
        Set(&ivars->isCreatingAtStop);
        CreateTarget(1);
    }
}

kern_return_t IMPL(FaultyDext, UserReportInitiatorIdentifier)
{
    const kern_return_t status = UserReportInitiatorIdentifier(id, SUPERDISPATCH);
    if (Makes("target-is-initiator")) *id = 0;
    return status;
}

kern_return_t IMPL(FaultyDext, UserReportHighestSupportedDeviceID)
{
    const kern_return_t status = UserReportHighestSupportedDeviceID(id, SUPERDISPATCH);
    if (Makes("target-above-highest-id")) *id = 3;
    return status;
}

kern_return_t IMPL(FaultyDext, UserReportMaximumTaskCount)
{
    const kern_return_t status = UserReportMaximumTaskCount(count, SUPERDISPATCH);
    if (Makes("no-tasks")) *count = 0;
    return status;
}

kern_return_t IMPL(FaultyDext, UserDoesHBAPerformDeviceManagement)
{
    const kern_return_t status = UserDoesHBAPerformDeviceManagement(result, SUPERDISPATCH);
    if (Makes("target-created-and-scanned")) *result = false;
    return status;
}

kern_return_t IMPL(FaultyDext, UserMapHBAData)
{
    if (Makes("task-id-zero")) return kIOReturnSuccess;
    const kern_return_t status = UserMapHBAData(uniqueTaskID, SUPERDISPATCH);
    if (Makes("task-id-repeated")) *uniqueTaskID = 1;
    return status;
}
