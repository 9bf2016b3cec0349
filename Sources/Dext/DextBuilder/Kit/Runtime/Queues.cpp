// Queues, interrupts, timers.

#include "Runtime.h"

#include <DriverKit/IODispatchQueue.h>
#include <DriverKit/IOInterruptDispatchSource.h>
#include <DriverKit/IOTimerDispatchSource.h>
#include <time.h>

using namespace nbdext;

namespace {

/// A time of the host's clock; `options` names the clock of `time`.
kern_return_t deadlineOf(uint64_t options, uint64_t time, uint64_t *deadline) {
    switch (options) {
    case kIOTimerClockMachAbsoluteTime:
    case kIOTimerClockMachContinuousTime: *deadline = nanosecondsOf(time); return kIOReturnSuccess;
    case kIOTimerClockUptimeRaw:
    case kIOTimerClockMonotonicRaw: *deadline = time; return kIOReturnSuccess;
    case kIOTimerClockRealTime: {
        const uint64_t now = clock_gettime_nsec_np(CLOCK_REALTIME);
        *deadline = host->now() + (time > now ? time - now : 0);
        return kIOReturnSuccess;
    }
    default:
        report(NBDEXT_FAULT_BAD_ARGUMENT, "a time was given with the options 0x%llx, which name no clock", options);
        return kIOReturnBadArgument;
    }
}

}  // namespace

// MARK: Queues

kern_return_t IODispatchQueue::Create_Impl(
    const IODispatchQueueName name, uint64_t options, uint64_t priority, IODispatchQueue **queue) {
    if (!name) return kIOReturnBadArgument;
    return create(queue, [=](nbdext_skin *skin, nbdext_object **handle) {
        return host->queue_create(name, options, priority, skin, handle);
    });
}

bool IODispatchQueue::init() { return super::init(); }
void IODispatchQueue::free() { super::free(); }

bool IODispatchQueue::OnQueue() { return host->queue_is_current(handleOf(this)); }
const char *IODispatchQueue::GetName() { return host->queue_name(handleOf(this)); }

kern_return_t IODispatchQueue::Cancel(IODispatchQueueCancelHandler handler) {
    return host->queue_cancel(handleOf(this), copyBlock(handler));
}

void IODispatchQueue::DispatchAsync(IODispatchBlock block) {
    host->queue_async(handleOf(this), nullptr, copyBlock(block));
}
void IODispatchQueue::DispatchAsync_f(void *context, IODispatchFunction function) {
    host->queue_async(handleOf(this), nullptr, copyBlock(^{ function(context); }));
}
void IODispatchQueue::DispatchSync(IODispatchBlock block) {
    host->queue_sync(handleOf(this), nullptr, lendBlock(block));
}
void IODispatchQueue::DispatchSync_f(void *context, IODispatchFunction function) {
    host->queue_sync(handleOf(this), nullptr, lendBlock(^{ function(context); }));
}

kern_return_t IODispatchQueue::RunAction(IODispatchAction action) {
    if (OnQueue()) return action();
    __block kern_return_t status = kIOReturnError;
    host->queue_sync(handleOf(this), "RunAction", lendBlock(^{ status = action(); }));
    return status;
}

kern_return_t IODispatchQueue::SleepWithDeadline(void *event, uint64_t options, uint64_t deadline) {
    uint64_t time = UINT64_MAX;
    const uint64_t clock = options & ~uint64_t(kIODispatchQueueSleepReuseEvent);
    if (clock) {
        const kern_return_t status = deadlineOf(clock, deadline, &time);
        if (status != kIOReturnSuccess) return status;
    }
    return host->queue_sleep(handleOf(this), event, time);
}

kern_return_t IODispatchQueue::SleepWithTimeout(void *event, uint64_t timeout) {
    return host->queue_sleep(handleOf(this), event, timeout ? host->now() + timeout : UINT64_MAX);
}
kern_return_t IODispatchQueue::Sleep(void *event, uint64_t timeout) { return SleepWithTimeout(event, timeout); }

kern_return_t IODispatchQueue::Wakeup(void *event) { return host->queue_wakeup(handleOf(this), event, false); }
kern_return_t IODispatchQueue::WakeupWithOptions(void *event, uint64_t options) {
    return host->queue_wakeup(handleOf(this), event, options & kIODispatchQueueWakeupAll);
}

void IODispatchQueue::Log(const char *message, IODispatchLogFunction output) { output("%s\n", message); }

// MARK: Sources

bool IODispatchSource::init() { return super::init(); }
void IODispatchSource::free() { super::free(); }

kern_return_t IODispatchSource::Cancel_Impl(IODispatchSourceCancelHandler handler) {
    return host->source_cancel(handleOf(this), copyBlock(handler));
}
kern_return_t IODispatchSource::SetEnableWithCompletion_Impl(bool enable, IODispatchSourceCancelHandler handler) {
    return host->source_enable(handleOf(this), enable, copyBlock(handler));
}
kern_return_t IODispatchSource::SetEnable_Impl(bool enable) {
    return host->source_enable(handleOf(this), enable, nullptr);
}

// MARK: Interrupts

kern_return_t IOInterruptDispatchSource::Create_Impl(
    IOService *provider, uint32_t index, IODispatchQueue *queue, IOInterruptDispatchSource **source) {
    if (!provider || !queue) return kIOReturnBadArgument;
    return create(source, [=](nbdext_skin *skin, nbdext_object **handle) {
        return host->interrupt_source_create(
            handleOf(provider), index & kIOInterruptSourceIndexMask, handleOf(queue), skin, handle);
    });
}

kern_return_t IOInterruptDispatchSource::GetInterruptType_Impl(
    IOService *provider, uint32_t index, uint64_t *interruptType) {
    if (!provider || !interruptType) return kIOReturnBadArgument;
    return host->interrupt_type(handleOf(provider), index & kIOInterruptSourceIndexMask, interruptType);
}

bool IOInterruptDispatchSource::init() { return super::init(); }
void IOInterruptDispatchSource::free() { super::free(); }

kern_return_t IOInterruptDispatchSource::SetHandler_Impl(OSAction *action) {
    if (!actionTakes(action, methodID("IOInterruptDispatchSource::InterruptOccurred"))) {
        return kIOReturnBadArgument;
    }
    return host->source_set_action(handleOf(this), handleOf(action));
}

kern_return_t IOInterruptDispatchSource::GetLastInterrupt_Impl(uint64_t *count, uint64_t *time) {
    if (!count || !time) return kIOReturnBadArgument;
    const kern_return_t status = host->last_interrupt(handleOf(this), count, time);
    *time = ticksOf(*time);
    return status;
}

// MARK: Timers

kern_return_t IOTimerDispatchSource::Create_Impl(IODispatchQueue *queue, IOTimerDispatchSource **source) {
    if (!queue) return kIOReturnBadArgument;
    return create(source, [=](nbdext_skin *skin, nbdext_object **handle) {
        return host->timer_source_create(handleOf(queue), skin, handle);
    });
}

bool IOTimerDispatchSource::init() { return super::init(); }
void IOTimerDispatchSource::free() { super::free(); }

kern_return_t IOTimerDispatchSource::SetHandler_Impl(OSAction *action) {
    if (!actionTakes(action, methodID("IOTimerDispatchSource::TimerOccurred"))) return kIOReturnBadArgument;
    return host->source_set_action(handleOf(this), handleOf(action));
}

kern_return_t IOTimerDispatchSource::WakeAtTime_Impl(uint64_t options, uint64_t deadline, uint64_t leeway) {
    uint64_t time = 0;
    const kern_return_t status = deadlineOf(options, deadline, &time);
    if (status != kIOReturnSuccess) return status;
    const bool isTicks = options == kIOTimerClockMachAbsoluteTime || options == kIOTimerClockMachContinuousTime;
    return host->timer_wake(handleOf(this), time, isTicks ? nanosecondsOf(leeway) : leeway);
}
