// Calls of remote methods: which queue, and how they get there.

#include "Runtime.h"

#include <DriverKit/OSAction.h>
#include <stdlib.h>

using namespace nbdext;

/// An action of the driver's own. The kernel's actions have none of this.
struct alignas(16) OSAction_IVars {
    OSMetaClassBase *target;   ///< retained by the action's handle
    uint64_t method;           ///< of the target
    uint64_t type;             ///< the method whose calls it takes
    void *reference;
    bool cancelled;            ///< atomic
};

// MARK: Names

namespace {

constexpr uint64_t interruptOccurred = methodID("IOInterruptDispatchSource::InterruptOccurred");
constexpr uint64_t timerOccurred = methodID("IOTimerDispatchSource::TimerOccurred");

#define FAMILY(name) {methodID("IOUserSCSIParallelInterfaceController::" #name), #name}
/// The methods of the kit's classes that are a driver's to implement.
constexpr MethodName driverMethods[] = {
    {methodID("IOService::Start"), "Start"},
    {methodID("IOService::Stop"), "Stop"},
    {methodID("IOService::SetPowerState"), "SetPowerState"},
    {methodID("IOService::NewUserClient"), "NewUserClient"},
    {interruptOccurred, "InterruptOccurred"},
    {timerOccurred, "TimerOccurred"},
    {methodID("IOUserClient::CopyClientMemoryForType"), "CopyClientMemoryForType"},
    FAMILY(UserInitializeController),
    FAMILY(UserStartController),
    FAMILY(UserReportInitiatorIdentifier),
    FAMILY(UserReportHighestSupportedDeviceID),
    FAMILY(UserReportMaximumTaskCount),
    FAMILY(UserReportHBAHighestLogicalUnitNumber),
    FAMILY(UserDoesHBAPerformAutoSense),
    FAMILY(UserDoesHBAPerformDeviceManagement),
    FAMILY(UserDoesHBASupportMultiPathing),
    FAMILY(UserDoesHBASupportSCSIParallelFeature),
    FAMILY(UserGetDMASpecification),
    FAMILY(UserMapHBAData),
    FAMILY(UserInitializeTargetForID),
    FAMILY(UserProcessParallelTask),
    FAMILY(UserMapBundledParallelTaskCommandAndResponseBuffers),
    FAMILY(UserProcessBundledParallelTasks),
    FAMILY(UserAbortTaskRequest),
    FAMILY(UserAbortTaskSetRequest),
    FAMILY(UserClearACARequest),
    FAMILY(UserClearTaskSetRequest),
    FAMILY(UserLogicalUnitResetRequest),
    FAMILY(UserTargetResetRequest),
};
#undef FAMILY

const char *driverMethodName(uint64_t method) {
    for (const MethodName &known : driverMethods) {
        if (known.id == method) return known.name;
    }
    return nullptr;
}

const char *queueNameOf(const OSMetaClass *type, uint64_t method) {
    for (; type; type = type->superClass) {
        for (const MethodQueue *queue = type->queues; queue && queue->queue; ++queue) {
            if (queue->id == method) return queue->queue;
        }
    }
    return nullptr;
}

}  // namespace

bool nbdext::isDriverMethod(uint64_t method) { return driverMethodName(method) != nullptr; }

const char *nbdext::methodName(const OSMetaClass *type, uint64_t method) {
    for (; type; type = type->superClass) {
        for (const MethodName *known = type->methods; known && known->name; ++known) {
            if (known->id != method) continue;
            const char *separator = strstr(known->name, "::");
            return separator ? separator + 2 : known->name;
        }
    }
    const char *name = driverMethodName(method);
    return name ? name : "a method";
}

uint64_t nbdext::methodIDOf(const std::string &name) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (char character : name) hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3ULL;
    return hash;
}

// MARK: Blocks

nbdext_block *nbdext::copyBlock(void (^block)(void)) { return block ? (nbdext_block *)_Block_copy(block) : nullptr; }

// MARK: Queues of calls

nbdext_object *nbdext::queueFor(OSMetaClassBase *self, uint64_t method, bool *impossible) {
    const OSMetaClass *type = self->getMetaClass();
    const char *name = queueNameOf(type, method);
    nbdext_object *queue = host->queue_named(handleOf(self), name ? name : "Default");
    if (!queue) {
        // An object without a Default queue is called where the caller is.
        if (!name) return nullptr;
        const bool isAuxiliary = strcmp(name, "AuxiliaryQueue") == 0;
        report(
            isAuxiliary ? NBDEXT_FAULT_NO_AUXILIARY_QUEUE : NBDEXT_FAULT_BAD_ARGUMENT,
            "%s::%s is bound to the queue %s, and SetDispatchQueue never set it", type->name, methodName(type, method),
            name);
        *impossible = true;
        return nullptr;
    }
    return host->queue_is_current(queue) ? nullptr : queue;
}

kern_return_t nbdext::callAndWait(OSMetaClassBase *self, const IORPC &rpc) {
    bool impossible = false;
    nbdext_object *queue = queueFor(self, rpc.id, &impossible);
    if (impossible) return kIOReturnNotReady;
    if (!queue) return self->Dispatch(rpc);
    __block kern_return_t status = kIOReturnError;
    const IORPC call = rpc;
    host->queue_sync(queue, methodName(self->getMetaClass(), rpc.id), lendBlock(^{ status = self->Dispatch(call); }));
    return status;
}

namespace {

/// Holds a message as long as a block does.
class MessageReference {
public:
    explicit MessageReference(Message *message) : message(message) {}
    MessageReference(const MessageReference &other) : message(other.message) {
        __atomic_fetch_add(&message->references, 1, __ATOMIC_RELAXED);
    }
    ~MessageReference() {
        if (__atomic_sub_fetch(&message->references, 1, __ATOMIC_ACQ_REL) == 0) message->end(message);
    }
    MessageReference &operator=(const MessageReference &) = delete;
    Message *operator->() const { return message; }

private:
    Message *message;
};

}  // namespace

void nbdext::send(nbdext_object *queue, Message *message) {
    const MessageReference reference(message);
    host->queue_async(queue, methodName(message->target->getMetaClass(), message->id), copyBlock(^{
        reference->target->Dispatch(IORPC{reference->id, reference->arguments, nullptr});
    }));
}

// MARK: Actions

kern_return_t nbdext::createAction(
    OSMetaClassBase *target, uint64_t method, uint64_t type, size_t referenceSize, OSAction **result) {
    if (!result || referenceSize > 1 << 20) return kIOReturnBadArgument;
    const char *name = methodName(target->getMetaClass(), method);
    return create(result, [&](nbdext_skin *skin, nbdext_object **handle) {
        auto action = static_cast<OSAction *>(objectOf(skin));
        auto ivars = static_cast<OSAction_IVars *>(calloc(1, sizeof(OSAction_IVars) + referenceSize));
        if (!ivars) return kIOReturnNoMemory;
        *ivars = {target, method, type, referenceSize ? ivars + 1 : nullptr, false};
        action->ivars = ivars;
        *handle = host->make_action(skin, name, handleOf(target));
        return kIOReturnSuccess;
    });
}

OSMetaClassBase *nbdext::targetOf(OSAction *action, uint64_t type, uint64_t *method, bool *impossible) {
    *impossible = true;
    if (!action) {
        report(NBDEXT_FAULT_WRONG_ACTION, "%s was called with no action", methodName(nullptr, type));
        return nullptr;
    }
    handleOf(action);
    if (!action->ivars) {
        *impossible = false;
        return nullptr;
    }
    if (action->ivars->type != type) {
        const OSMetaClass *target = action->ivars->target->getMetaClass();
        report(
            NBDEXT_FAULT_WRONG_ACTION, "the action of %s::%s was given to a call that it was not made for",
            target->name, methodName(target, action->ivars->method));
        return nullptr;
    }
    if (__atomic_load_n(&action->ivars->cancelled, __ATOMIC_ACQUIRE)) return nullptr;
    *impossible = false;
    *method = action->ivars->method;
    return action->ivars->target;
}

bool nbdext::actionTakes(OSAction *action, uint64_t type) {
    uint64_t method = 0;
    bool impossible = false;
    return targetOf(action, type, &method, &impossible) != nullptr;
}

void nbdext::fireAction(OSAction *action, uint64_t first, uint64_t second) {
    const OSAction_IVars *ivars = action->ivars;
    if (!ivars || __atomic_load_n(&ivars->cancelled, __ATOMIC_ACQUIRE)) return;
    if (ivars->type == interruptOccurred) second = ticksOf(second);
    if (ivars->type == timerOccurred) first = ticksOf(first);
    uint64_t result = 0;
    void *const arguments[] = {&action, &first, &second};
    ivars->target->Dispatch(IORPC{ivars->method, arguments, &result});
}

void OSAction::free() {
    ::free(ivars);
    ivars = nullptr;
    super::free();
}

void *OSAction::GetReference() { return ivars ? ivars->reference : nullptr; }

kern_return_t OSAction::Cancel(OSActionCancelHandler handler) {
    if (ivars) __atomic_store_n(&ivars->cancelled, true, __ATOMIC_RELEASE);
    return host->action_cancel(handleOf(this), copyBlock(handler));
}

kern_return_t OSAction::SetAbortedHandler(OSActionAbortedHandler) {
    // Only a client's end aborts actions, and there are no clients.
    return kIOReturnSuccess;
}
