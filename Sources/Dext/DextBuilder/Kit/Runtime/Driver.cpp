// What the host calls: the bundle's one symbol, and the structure of functions that it gives.

#include "Runtime.h"

#include <DriverKit/IODispatchQueue.h>
#include <DriverKit/IOUserClient.h>
#include <SCSIControllerDriverKit/IOUserSCSIParallelInterfaceController.h>

using namespace nbdext;

namespace {

using Controller = IOUserSCSIParallelInterfaceController;

/// Calls a remote method at once: the host is on the method's queue.
template <class... P>
kern_return_t callNow(OSMetaClassBase *object, uint64_t method, P... values) {
    kern_return_t result = kIOReturnError;
    void *const arguments[sizeof...(P) + 1] = {&values..., nullptr};
    const kern_return_t status = object->Dispatch(IORPC{method, arguments, &result});
    return status == kIOReturnSuccess ? result : status;
}

template <class... P>
void callNowWithoutResult(OSMetaClassBase *object, uint64_t method, P... values) {
    void *const arguments[sizeof...(P) + 1] = {&values..., nullptr};
    object->Dispatch(IORPC{method, arguments, nullptr});
}

#define SERVICE(name) methodID("IOService::" name)
#define FAMILY(name) methodID("IOUserSCSIParallelInterfaceController::" name)

// MARK: Classes

nbdext_dext_class_kind classKind(const char *name) {
    const OSMetaClass *type = classNamed(name);
    if (!type || type->isOfKit) return NBDEXT_CLASS_UNKNOWN;
    if (type->isKindOf(OSTypeID(Controller))) return NBDEXT_CLASS_CONTROLLER;
    if (type->isKindOf(OSTypeID(IOUserClient))) return NBDEXT_CLASS_USER_CLIENT;
    return type->isKindOf(OSTypeID(IOService)) ? NBDEXT_CLASS_SERVICE : NBDEXT_CLASS_OTHER;
}

const char *whyAbstract(const char *name) {
    const OSMetaClass *type = classNamed(name);
    if (!type || type->make) return nullptr;
    return "the class leaves a pure virtual method of its base classes without a body";
}

const char *queueName(const char *className, const char *method) {
    const OSMetaClass *type = classNamed(className);
    for (const OSMetaClass *declarer = type; declarer; declarer = declarer->superClass) {
        const uint64_t id = methodIDOf(std::string(declarer->name) + "::" + method);
        for (const OSMetaClass *binder = type; binder; binder = binder->superClass) {
            for (const MethodQueue *queue = binder->queues; queue && queue->queue; ++queue) {
                if (queue->id == id) return queue->queue;
            }
        }
    }
    return nullptr;
}

// MARK: Objects

nbdext_skin *makeSkin(const char *className, nbdext_object *handle) {
    const OSMetaClass *type = classNamed(className);
    if (!type || !type->make) return nullptr;
    OSMetaClassBase *object = type->make();
    Runtime::setHandle(object, handle);
    return skinOf(object);
}

void endSkin(nbdext_skin *skin) { endObject(objectOf(skin)); }
bool initialize(nbdext_skin *skin) { return static_cast<OSObject *>(objectOf(skin))->init(); }

void runBlock(nbdext_block *block) { ((void (^)(void))block)(); }
void endBlock(nbdext_block *block) { _Block_release(block); }
void fire(nbdext_skin *action, uint64_t first, uint64_t second) {
    fireAction(static_cast<OSAction *>(objectOf(action)), first, second);
}

// MARK: Services

nbdext_status start(nbdext_skin *service, nbdext_object *provider) {
    return callNow(objectOf(service), SERVICE("Start"), objectAs<IOService>(provider));
}
nbdext_status stop(nbdext_skin *service, nbdext_object *provider) {
    return callNow(objectOf(service), SERVICE("Stop"), objectAs<IOService>(provider));
}
nbdext_status setPowerState(nbdext_skin *service, uint32_t flags) {
    return callNow(objectOf(service), SERVICE("SetPowerState"), flags);
}
nbdext_status newUserClient(nbdext_skin *service, uint32_t type, nbdext_object **client) {
    IOUserClient *object = nullptr;
    const kern_return_t status = callNow(objectOf(service), SERVICE("NewUserClient"), type, &object);
    *client = handleOf(object);
    return status == kIOReturnSuccess && !object ? kIOReturnError : status;
}
nbdext_status externalMethod(nbdext_skin *client, uint64_t selector) {
    auto object = OSDynamicCast(IOUserClient, objectOf(client));
    if (!object) return kIOReturnBadArgument;
    // The arrays are there even when the counts are 0.
    IOUserClientScalarArray input = {}, output = {};
    IOUserClientMethodArguments arguments = {};
    arguments.version = kIOUserClientMethodArgumentsCurrentVersion;
    arguments.selector = selector;
    arguments.scalarInput = input;
    arguments.scalarOutput = output;
    return object->ExternalMethod(selector, &arguments, nullptr, nullptr, nullptr);
}

// MARK: Controllers

nbdext_status initializeController(nbdext_skin *controller) {
    return callNow(objectOf(controller), FAMILY("UserInitializeController"));
}
nbdext_status startController(nbdext_skin *controller) {
    return callNow(objectOf(controller), FAMILY("UserStartController"));
}
nbdext_status reportInitiatorIdentifier(nbdext_skin *controller, uint64_t *identifier) {
    return callNow(objectOf(controller), FAMILY("UserReportInitiatorIdentifier"), identifier);
}
nbdext_status reportHighestSupportedDeviceID(nbdext_skin *controller, uint64_t *identifier) {
    return callNow(objectOf(controller), FAMILY("UserReportHighestSupportedDeviceID"), identifier);
}
nbdext_status reportMaximumTaskCount(nbdext_skin *controller, uint32_t *count) {
    return callNow(objectOf(controller), FAMILY("UserReportMaximumTaskCount"), count);
}
nbdext_status reportHBAHighestLogicalUnitNumber(nbdext_skin *controller, uint64_t *value) {
    return callNow(objectOf(controller), FAMILY("UserReportHBAHighestLogicalUnitNumber"), value);
}
nbdext_status doesHBAPerformAutoSense(nbdext_skin *controller, bool *result) {
    return callNow(objectOf(controller), FAMILY("UserDoesHBAPerformAutoSense"), result);
}
nbdext_status doesHBAPerformDeviceManagement(nbdext_skin *controller, bool *result) {
    return callNow(objectOf(controller), FAMILY("UserDoesHBAPerformDeviceManagement"), result);
}
nbdext_status doesHBASupportMultiPathing(nbdext_skin *controller, bool *result) {
    return callNow(objectOf(controller), FAMILY("UserDoesHBASupportMultiPathing"), result);
}
nbdext_status doesHBASupportSCSIParallelFeature(nbdext_skin *controller, uint32_t feature, bool *result) {
    return callNow(objectOf(controller), FAMILY("UserDoesHBASupportSCSIParallelFeature"), feature, result);
}
nbdext_status getDMASpecification(
    nbdext_skin *controller, uint64_t *maxTransferSize, uint32_t *alignment, uint8_t *addressBits,
    uint16_t *segmentType) {
    DMAOutputSegmentType type = kDMAOutputSegmentHost64;
    const kern_return_t status = callNow(
        objectOf(controller), FAMILY("UserGetDMASpecification"), maxTransferSize, alignment, addressBits, &type);
    *segmentType = type;
    return status;
}
nbdext_status mapHBAData(nbdext_skin *controller, uint32_t *uniqueTaskID) {
    return callNow(objectOf(controller), FAMILY("UserMapHBAData"), uniqueTaskID);
}
nbdext_status initializeTarget(nbdext_skin *controller, uint64_t target) {
    return callNow(objectOf(controller), FAMILY("UserInitializeTargetForID"), target);
}
nbdext_status mapBundledBuffers(nbdext_skin *controller, nbdext_object *commands, nbdext_object *responses) {
    return callNow(
        objectOf(controller), FAMILY("UserMapBundledParallelTaskCommandAndResponseBuffers"),
        objectAs<IOBufferMemoryDescriptor>(commands), objectAs<IOBufferMemoryDescriptor>(responses));
}

// MARK: Tasks

nbdext_status processParallelTask(
    nbdext_skin *controller, const SCSIUserParallelTask *task, uint32_t *response, nbdext_skin *completion) {
    // The method gets a copy, so the slot itself can stand for the argument.
    OSMetaClassBase *action = objectOf(completion);
    kern_return_t result = kIOReturnError;
    void *const arguments[] = {const_cast<SCSIUserParallelTask *>(task), &response, &action};
    const kern_return_t status =
        objectOf(controller)->Dispatch(IORPC{FAMILY("UserProcessParallelTask"), arguments, &result});
    return status == kIOReturnSuccess ? result : status;
}

void processBundledParallelTasks(
    nbdext_skin *controller, const uint16_t *indices, uint16_t count, nbdext_skin *completion) {
    callNowWithoutResult(
        objectOf(controller), FAMILY("UserProcessBundledParallelTasks"), indices, count, objectOf(completion));
}

nbdext_status abortTask(nbdext_skin *controller, uint64_t target, uint64_t unit, uint64_t tag, uint32_t *response) {
    return callNow(objectOf(controller), FAMILY("UserAbortTaskRequest"), target, unit, tag, response);
}
nbdext_status abortTaskSet(nbdext_skin *controller, uint64_t target, uint64_t unit, uint32_t *response) {
    return callNow(objectOf(controller), FAMILY("UserAbortTaskSetRequest"), target, unit, response);
}
nbdext_status clearACA(nbdext_skin *controller, uint64_t target, uint64_t unit, uint32_t *response) {
    return callNow(objectOf(controller), FAMILY("UserClearACARequest"), target, unit, response);
}
nbdext_status clearTaskSet(nbdext_skin *controller, uint64_t target, uint64_t unit, uint32_t *response) {
    return callNow(objectOf(controller), FAMILY("UserClearTaskSetRequest"), target, unit, response);
}
nbdext_status logicalUnitReset(nbdext_skin *controller, uint64_t target, uint64_t unit, uint32_t *response) {
    return callNow(objectOf(controller), FAMILY("UserLogicalUnitResetRequest"), target, unit, response);
}
nbdext_status targetReset(nbdext_skin *controller, uint64_t target, uint32_t *response) {
    return callNow(objectOf(controller), FAMILY("UserTargetResetRequest"), target, response);
}

const nbdext_dext_driver driver = {
    .version = NBDEXT_DEXT_ABI_VERSION,
    .size = sizeof(nbdext_dext_driver),
    .class_kind = classKind,
    .why_abstract = whyAbstract,
    .queue_name = queueName,
    .make_skin = makeSkin,
    .end_skin = endSkin,
    .init = initialize,
    .run_block = runBlock,
    .end_block = endBlock,
    .fire_action = fire,
    .start = start,
    .stop = stop,
    .set_power_state = setPowerState,
    .new_user_client = newUserClient,
    .initialize_controller = initializeController,
    .start_controller = startController,
    .report_initiator_identifier = reportInitiatorIdentifier,
    .report_highest_supported_device_id = reportHighestSupportedDeviceID,
    .report_maximum_task_count = reportMaximumTaskCount,
    .report_hba_highest_logical_unit_number = reportHBAHighestLogicalUnitNumber,
    .does_hba_perform_auto_sense = doesHBAPerformAutoSense,
    .does_hba_perform_device_management = doesHBAPerformDeviceManagement,
    .does_hba_support_multi_pathing = doesHBASupportMultiPathing,
    .does_hba_support_scsi_parallel_feature = doesHBASupportSCSIParallelFeature,
    .get_dma_specification = getDMASpecification,
    .map_hba_data = mapHBAData,
    .initialize_target = initializeTarget,
    .map_bundled_buffers = mapBundledBuffers,
    .process_parallel_task = processParallelTask,
    .process_bundled_parallel_tasks = processBundledParallelTasks,
    .abort_task = abortTask,
    .abort_task_set = abortTaskSet,
    .clear_aca = clearACA,
    .clear_task_set = clearTaskSet,
    .logical_unit_reset = logicalUnitReset,
    .target_reset = targetReset,
    .external_method = externalMethod,
};

}  // namespace

const nbdext_dext_driver *nbdext_dext_open(const nbdext_dext_host *theHost) {
    if (theHost->version != NBDEXT_DEXT_ABI_VERSION || theHost->size < sizeof(nbdext_dext_host)) return nullptr;
    if (host) return &driver;
    host = theHost;
    makeBooleans();
    return &driver;
}
