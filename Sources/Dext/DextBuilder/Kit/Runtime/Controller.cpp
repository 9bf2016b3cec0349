// The family of SCSI controllers: what a driver calls.

#include "Runtime.h"

#include <DriverKit/OSArray.h>
#include <SCSIControllerDriverKit/IOUserSCSIParallelInterfaceController.h>

using namespace nbdext;

#define NBDEXT_OFFSET(type, field, offset) static_assert(offsetof(type, field) == offset, #type "." #field " moved")
static_assert(sizeof(SCSIUserParallelTask) == 128);
NBDEXT_OFFSET(SCSIUserParallelTask, fTargetID, 8);
NBDEXT_OFFSET(SCSIUserParallelTask, fSCSIParallelFeatureRequest, 16);
NBDEXT_OFFSET(SCSIUserParallelTask, fSCSIParallelFeatureRequestCount, 40);
NBDEXT_OFFSET(SCSIUserParallelTask, fControllerTaskIdentifier, 48);
NBDEXT_OFFSET(SCSIUserParallelTask, fRequestedTransferCount, 56);
NBDEXT_OFFSET(SCSIUserParallelTask, fBufferIOVMAddr, 64);
NBDEXT_OFFSET(SCSIUserParallelTask, fTaskAttribute, 72);
NBDEXT_OFFSET(SCSIUserParallelTask, fTaskTagIdentifier, 80);
NBDEXT_OFFSET(SCSIUserParallelTask, fLogicalUnitBytes, 88);
NBDEXT_OFFSET(SCSIUserParallelTask, fCommandDescriptorBlock, 96);
NBDEXT_OFFSET(SCSIUserParallelTask, fCommandSize, 112);
NBDEXT_OFFSET(SCSIUserParallelTask, fTransferDirection, 113);
NBDEXT_OFFSET(SCSIUserParallelTask, fTimeoutInMilliSec, 116);
static_assert(sizeof(SCSIUserParallelResponse) == 384);
NBDEXT_OFFSET(SCSIUserParallelResponse, fTargetID, 8);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSCSIParallelFeatureResult, 16);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSCSIParallelFeatureRequestResultCount, 40);
NBDEXT_OFFSET(SCSIUserParallelResponse, fControllerTaskIdentifier, 48);
NBDEXT_OFFSET(SCSIUserParallelResponse, fCompletionStatus, 56);
NBDEXT_OFFSET(SCSIUserParallelResponse, fServiceResponse, 60);
NBDEXT_OFFSET(SCSIUserParallelResponse, fBytesTransferred, 64);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSenseLength, 72);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSenseBuffer, 73);
#undef NBDEXT_OFFSET

// MARK: Completions

void nbdext::completeForKernel(OSMetaClassBase *self, OSAction *action, const IORPC &rpc) {
    switch (rpc.id) {
    case methodID("IOUserSCSIParallelInterfaceController::ParallelTaskCompletion"):
        return host->parallel_task_completion(
            handleOf(self), handleOf(action), &argument<SCSIUserParallelResponse>(rpc.arguments[1]));
    case methodID("IOUserSCSIParallelInterfaceController::BundledParallelTaskCompletion"):
        return host->bundled_parallel_task_completion(
            handleOf(self), handleOf(action), argument<const uint16_t *>(rpc.arguments[1]),
            argument<uint16_t>(rpc.arguments[2]));
    case methodID("IOUserClient::AsyncCompletion"): unsupported("AsyncCompletion"); return;
    default:
        report(
            NBDEXT_FAULT_WRONG_ACTION, "an action of the kernel's was given to %s::%s", self->getMetaClass()->name,
            methodName(self->getMetaClass(), rpc.id));
    }
}

// MARK: Targets

using Controller = IOUserSCSIParallelInterfaceController;

kern_return_t Controller::UserTargetPresentForID_Impl(SCSIDeviceIdentifier targetID, bool *result) {
    if (!result) return kIOReturnBadArgument;
    return host->target_present(handleOf(this), targetID, result);
}

kern_return_t Controller::UserCreateTargetForID_Impl(SCSIDeviceIdentifier targetID, OSDictionary *targetDict) {
    return withEncoded(targetDict, [&](const uint8_t *bytes, size_t count) {
        return host->create_target(handleOf(this), targetID, bytes, count);
    });
}

kern_return_t Controller::UserDestroyTargetForID_Impl(SCSITargetIdentifier targetID) {
    return host->destroy_target(handleOf(this), targetID);
}

kern_return_t Controller::UserGetDataBuffer_Impl(
    SCSIDeviceIdentifier targetID, uint64_t controllerTaskID, IOBufferMemoryDescriptor **buffer) {
    if (!buffer) return kIOReturnBadArgument;
    *buffer = nullptr;
    nbdext_object *handle = nullptr;
    const kern_return_t status = host->data_buffer(handleOf(this), targetID, controllerTaskID, &handle);
    if (status == kIOReturnSuccess) *buffer = objectAs<IOBufferMemoryDescriptor>(handle);
    return status;
}

kern_return_t Controller::UserCallMediaParametersHaveChanged_Impl() {
    return host->media_parameters_have_changed(handleOf(this));
}

// MARK: Properties

kern_return_t Controller::UserReportHBAConstraints_Impl(OSDictionary *constraints) {
    return withEncoded(constraints, [&](const uint8_t *bytes, size_t count) {
        return host->report_hba_constraints(handleOf(this), bytes, count);
    });
}

kern_return_t Controller::UserSetHBAProperties_Impl(OSDictionary *properties) {
    return withEncoded(properties, [&](const uint8_t *bytes, size_t count) {
        return host->set_hba_properties(handleOf(this), bytes, count);
    });
}

kern_return_t Controller::UserRemoveHBAProperties_Impl(OSArray *properties) {
    return withEncoded(properties, [&](const uint8_t *bytes, size_t count) {
        return host->remove_hba_properties(handleOf(this), bytes, count);
    });
}

kern_return_t Controller::UserSetTargetProperties_Impl(SCSIDeviceIdentifier targetID, OSDictionary *properties) {
    return withEncoded(properties, [&](const uint8_t *bytes, size_t count) {
        return host->set_target_properties(handleOf(this), targetID, bytes, count);
    });
}

kern_return_t Controller::UserRemoveTargetProperties_Impl(SCSIDeviceIdentifier targetID, OSArray *properties) {
    return withEncoded(properties, [&](const uint8_t *bytes, size_t count) {
        return host->remove_target_properties(handleOf(this), targetID, bytes, count);
    });
}
