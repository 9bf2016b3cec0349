// Classes beside the controller.

#include <DriverKit/DriverKit.h>

#include "KitUserClient.h"

kern_return_t IMPL(KitUserClient, Start) { return Start(provider, SUPERDISPATCH); }

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
