// Classes beside the controller.

#include <DriverKit/DriverKit.h>
#include <string.h>

#include "KitUserClient.h"

kern_return_t IMPL(KitUserClient, Start) { return Start(provider, SUPERDISPATCH); }

/// Lets go, unless the personality's mistake is that it does not.
kern_return_t IMPL(KitUserClient, Stop)
{
    OSDictionary * properties = nullptr;
    kern_return_t status = provider->CopyProperties(&properties);
    if (status != kIOReturnSuccess) return status;
    const char * mistake = OSDictionaryGetStringValue(properties, "KitMistake");
    const bool isKept = mistake != nullptr && strcmp(mistake, "client-never-stops") == 0;
    properties->release();
    return isKept ? kIOReturnSuccess : Stop(provider, SUPERDISPATCH);
}

kern_return_t KitUserClient::ExternalMethod(
    uint64_t selector, IOUserClientMethodArguments * arguments, const IOUserClientMethodDispatch *, OSObject *, void *)
{
    static const IOUserClientMethodDispatch nothing = {
        [](OSObject *, void *, IOUserClientMethodArguments *) { return kIOReturnSuccess; }, 0, 1, 0, 0, 0};
    return super::ExternalMethod(selector, arguments, &nothing, nullptr, nullptr);
}

kern_return_t IMPL(KitUserClient, CopyClientMemoryForType)
{
    (void)type, (void)options;
    *memory = nullptr;
    return kIOReturnUnsupported;
}

kern_return_t IMPL(KitNub, Start)
{
    kern_return_t status = Start(provider, SUPERDISPATCH);
    return status == kIOReturnSuccess ? RegisterService() : status;
}
