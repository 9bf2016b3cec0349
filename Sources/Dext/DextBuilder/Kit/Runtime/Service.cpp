// Services.

#include "Runtime.h"

#include <DriverKit/IODispatchQueue.h>
#include <DriverKit/IOKitKeys.h>
#include <DriverKit/IOLib.h>
#include <DriverKit/IOService.h>
#include <DriverKit/IOUserClient.h>
#include <DriverKit/OSArray.h>
#include <DriverKit/OSDictionary.h>
#include <DriverKit/OSString.h>
#include <stdio.h>

using namespace nbdext;

bool IOService::init() { return super::init(); }
void IOService::free() { super::free(); }

// MARK: Life

kern_return_t IOService::Start_Impl(IOService *provider) {
    return host->service_start(handleOf(this), handleOf(provider));
}
kern_return_t IOService::Stop_Impl(IOService *provider) {
    return host->service_stop(handleOf(this), handleOf(provider));
}
kern_return_t IOService::ClientCrashed_Impl(IOService *, uint64_t) { return kIOReturnUnsupported; }
IOService *IOService::GetProvider() const { return objectAs<IOService>(host->provider(handleOf(this))); }
kern_return_t IOService::RegisterService_Impl() { return host->register_service(handleOf(this)); }
kern_return_t IOService::Terminate_Impl(uint64_t options) { return host->terminate(handleOf(this), options); }

kern_return_t IOService::Create_Impl(IOService *provider, const IOPropertyName propertiesKey, IOService **result) {
    if (!provider || !propertiesKey || !result) return kIOReturnBadArgument;
    *result = nullptr;
    nbdext_object *handle = nullptr;
    const kern_return_t status =
        host->create_service(handleOf(this), handleOf(provider), propertiesKey, &handle);
    if (status == kIOReturnSuccess) *result = objectAs<IOService>(handle);
    return status;
}

kern_return_t IOService::NewUserClient_Impl(uint32_t, IOUserClient **userClient) {
    if (userClient) *userClient = nullptr;
    return kIOReturnUnsupported;
}

// MARK: Names

kern_return_t IOService::GetRegistryEntryID_Impl(uint64_t *registryEntryID) {
    if (!registryEntryID) return kIOReturnBadArgument;
    *registryEntryID = host->registry_entry_id(handleOf(this));
    return kIOReturnSuccess;
}
kern_return_t IOService::SetName_Impl(const IOServiceName name) {
    return name ? host->set_name(handleOf(this), name) : kIOReturnBadArgument;
}
kern_return_t IOService::CopyName_Impl(OSString **name) {
    if (!name) return kIOReturnBadArgument;
    *name = nullptr;
    return host->copy_name(
        handleOf(this),
        [](void *context, const uint8_t *bytes, size_t count) {
            *static_cast<OSString **>(context) = OSString::withCString(reinterpret_cast<const char *>(bytes), count);
        },
        name);
}

kern_return_t IOService::StringFromReturn_Impl(IOReturn retval, OSString **str) {
    if (!str) return kIOReturnBadArgument;
    char text[16];
    snprintf(text, sizeof text, "0x%08x", static_cast<unsigned>(retval));
    *str = OSString::withCString(text);
    return kIOReturnSuccess;
}

// MARK: Queues

kern_return_t IOService::SetDispatchQueue_Impl(const IODispatchQueueName name, IODispatchQueue *queue) {
    if (!name || !queue) return kIOReturnBadArgument;
    return host->set_queue(handleOf(this), name, handleOf(queue));
}

kern_return_t IOService::CopyDispatchQueue_Impl(const IODispatchQueueName name, IODispatchQueue **queue) {
    if (!name || !queue) return kIOReturnBadArgument;
    *queue = objectAs<IODispatchQueue>(host->queue_named(handleOf(this), name));
    retainObject(*queue);
    return *queue ? kIOReturnSuccess : kIOReturnNotFound;
}

kern_return_t IOService::CreateDefaultDispatchQueue_Impl(IODispatchQueue **queue) {
    if (!queue) return kIOReturnBadArgument;
    *queue = nullptr;
    return unsupported("CreateDefaultDispatchQueue");
}

// MARK: Properties

kern_return_t IOService::CopyProperties_Impl(OSDictionary **properties) {
    if (!properties) return kIOReturnBadArgument;
    OSObject *value = nullptr;
    const kern_return_t status = host->copy_properties(handleOf(this), decodeInto, &value);
    *properties = OSDynamicCast(OSDictionary, value);
    if (value && !*properties) value->release();
    return status == kIOReturnSuccess && !*properties ? kIOReturnNoMemory : status;
}

kern_return_t IOService::SearchProperty_Impl(
    const IOPropertyName name, const IORegistryPlaneName plane, uint64_t options, OSContainer **property) {
    if (!name || !property) return kIOReturnBadArgument;
    OSObject *value = nullptr;
    const kern_return_t status =
        host->search_property(handleOf(this), name, plane ? plane : kIOServicePlane, options, decodeInto, &value);
    *property = OSDynamicCast(OSContainer, value);
    return status == kIOReturnSuccess && !*property ? kIOReturnNotFound : status;
}

kern_return_t IOService::CopyProviderProperties_Impl(OSArray *propertyKeys, OSArray **properties) {
    if (!properties) return kIOReturnBadArgument;
    *properties = OSArray::withCapacity(4);
    for (IOService *provider = GetProvider(); provider; provider = provider->GetProvider()) {
        OSDictionary *all = nullptr;
        const kern_return_t status = provider->CopyProperties(&all);
        if (status != kIOReturnSuccess) {
            OSSafeReleaseNULL(*properties);
            return status;
        }
        if (propertyKeys) {
            OSDictionary *some = OSDictionary::withCapacity(propertyKeys->getCount());
            propertyKeys->iterateObjects(^bool(OSObject *key) {
                if (OSObject *value = all->getObject(key)) some->setObject(key, value);
                return true;
            });
            all->release();
            all = some;
        }
        (*properties)->setObject(all);
        all->release();
    }
    return kIOReturnSuccess;
}

kern_return_t IOService::SetProperties_Impl(OSDictionary *properties) {
    return withEncoded(properties, [&](const uint8_t *bytes, size_t count) {
        return host->set_properties(handleOf(this), bytes, count);
    });
}

kern_return_t IOService::RemoveProperty_Impl(OSString *propertyName) {
    if (!propertyName) return kIOReturnBadArgument;
    return host->remove_property(handleOf(this), propertyName->getCStringNoCopy());
}

// MARK: Power, and the rest

kern_return_t IOService::JoinPMTree_Impl() { return host->join_power_tree(handleOf(this)); }
kern_return_t IOService::SetPowerState_Impl(uint32_t powerFlags) {
    return host->acknowledge_power_state(handleOf(this), powerFlags);
}
kern_return_t IOService::ChangePowerState_Impl(uint32_t powerFlags) {
    return host->change_power_state(handleOf(this), powerFlags);
}
kern_return_t IOService::SetPowerOverride_Impl(bool enable) {
    return host->set_power_override(handleOf(this), enable);
}
kern_return_t IOService::RequireMaxBusStall_Impl(uint64_t) { return kIOReturnSuccess; }

kern_return_t IOService::AdjustBusy_Impl(int32_t delta) {
    uint32_t state = 0;
    return host->adjust_busy(handleOf(this), delta, &state);
}
kern_return_t IOService::GetBusyState_Impl(uint32_t *busyState) {
    if (!busyState) return kIOReturnBadArgument;
    return host->adjust_busy(handleOf(this), 0, busyState);
}
kern_return_t IOService::CoreAnalyticsSendEvent_Impl(uint64_t, OSString *, OSDictionary *) {
    return unsupported("CoreAnalyticsSendEvent");
}

// MARK: Matching

namespace {

OSDictionary *matchingDictionary(const char *key, OSObject *value, OSDictionary *matching) {
    if (!matching) matching = OSDictionary::withCapacity(2);
    matching->setObject(key, value);
    return matching;
}
OSDictionary *matchingDictionary(const char *key, const char *text, OSDictionary *matching) {
    OSString *value = OSString::withCString(text);
    matching = matchingDictionary(key, value, matching);
    value->release();
    return matching;
}

}  // namespace

OSDictionary *IOService::CreatePropertyMatchingDictionary(
    const char *key, OSObjectPtr value, OSDictionary *matching) {
    OSDictionary *property = matchingDictionary(key, value, nullptr);
    matching = matchingDictionary(kIOPropertyMatchKey, property, matching);
    property->release();
    return matching;
}
OSDictionary *IOService::CreatePropertyMatchingDictionary(
    const char *key, const char *stringValue, OSDictionary *matching) {
    OSString *value = OSString::withCString(stringValue);
    matching = CreatePropertyMatchingDictionary(key, value, matching);
    value->release();
    return matching;
}

#define NBDEXT_MATCHING(kind, key)                                                                            \
    OSDictionary *IOService::Create##kind##MatchingDictionary(OSString *name, OSDictionary *matching) {       \
        return matchingDictionary(key, name, matching);                                                       \
    }                                                                                                         \
    OSDictionary *IOService::Create##kind##MatchingDictionary(const char *name, OSDictionary *matching) {     \
        return matchingDictionary(key, name, matching);                                                       \
    }
NBDEXT_MATCHING(KernelClass, kIOProviderClassKey)
NBDEXT_MATCHING(UserClass, kIOUserClassKey)
NBDEXT_MATCHING(Name, kIONameMatchKey)
