// Clients: what their base class can do without a program that connects.

#include "Runtime.h"

#include <DriverKit/IOUserClient.h>
#include <DriverKit/OSData.h>

using namespace nbdext;

bool IOUserClient::init() { return super::init(); }
void IOUserClient::free() { super::free(); }

namespace {

bool isCount(uint32_t count, uint32_t expected) {
    return expected == kIOUserClientVariableStructureSize || count == expected;
}

}  // namespace

kern_return_t IOUserClient::ExternalMethod(
    uint64_t, IOUserClientMethodArguments *arguments, const IOUserClientMethodDispatch *dispatch, OSObject *target,
    void *reference) {
    if (!dispatch || !dispatch->function) return kIOReturnUnsupported;
    const uint32_t inputSize = arguments->structureInput
        ? static_cast<uint32_t>(arguments->structureInput->getLength()) : 0;
    const uint32_t outputSize = static_cast<uint32_t>(arguments->structureOutputMaximumSize);
    const uint32_t completion = dispatch->checkCompletionExists;
    if (completion != kIOUserClientVariableStructureSize && (completion != 0) != (arguments->completion != nullptr)) {
        return kIOReturnBadArgument;
    }
    if (!isCount(arguments->scalarInputCount, dispatch->checkScalarInputCount)
        || !isCount(inputSize, dispatch->checkStructureInputSize)
        || !isCount(arguments->scalarOutputCount, dispatch->checkScalarOutputCount)
        || !isCount(outputSize, dispatch->checkStructureOutputSize)) {
        return kIOReturnBadArgument;
    }
    return dispatch->function(target ? target : this, reference, arguments);
}

kern_return_t IOUserClient::CreateMemoryDescriptorFromClient_Impl(
    uint64_t, uint32_t, const IOAddressSegment *, IOMemoryDescriptor **memory) {
    if (memory) *memory = nullptr;
    return unsupported("CreateMemoryDescriptorFromClient");
}

kern_return_t IOUserClient::CopyClientEntitlements_Impl(OSDictionary **entitlements) {
    if (entitlements) *entitlements = nullptr;
    return unsupported("CopyClientEntitlements");
}
