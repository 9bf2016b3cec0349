// PCI devices.

#include "Runtime.h"

#include <PCIDriverKit/IOPCIDevice.h>

using namespace nbdext;

bool IOPCIDevice::init() { return super::init(); }
void IOPCIDevice::free() { super::free(); }

kern_return_t IOPCIDevice::Open(IOService *forClient, IOOptionBits options) {
    if (!forClient) return kIOReturnBadArgument;
    return host->pci_open(handleOf(this), handleOf(forClient), options);
}
void IOPCIDevice::Close(IOService *forClient, IOOptionBits options) {
    host->pci_close(handleOf(this), handleOf(forClient), options);
}

// MARK: Registers

#define NBDEXT_MEMORY_ACCESS(bits)                                                                       \
    void IOPCIDevice::MemoryRead##bits(uint8_t memoryIndex, uint64_t offset, uint##bits##_t *readData) { \
        *readData = static_cast<uint##bits##_t>(                                                         \
            host->pci_memory_read(handleOf(this), memoryIndex, offset, bits / 8));                       \
    }                                                                                                    \
    void IOPCIDevice::MemoryWrite##bits(uint8_t memoryIndex, uint64_t offset, uint##bits##_t data) {     \
        host->pci_memory_write(handleOf(this), memoryIndex, offset, bits / 8, data);                     \
    }
NBDEXT_MEMORY_ACCESS(8)
NBDEXT_MEMORY_ACCESS(16)
NBDEXT_MEMORY_ACCESS(32)
NBDEXT_MEMORY_ACCESS(64)

#define NBDEXT_CONFIGURATION_ACCESS(bits)                                                      \
    void IOPCIDevice::ConfigurationRead##bits(uint64_t offset, uint##bits##_t *readData) {     \
        *readData = static_cast<uint##bits##_t>(                                               \
            host->pci_configuration_read(handleOf(this), offset, bits / 8));                   \
    }                                                                                          \
    void IOPCIDevice::ConfigurationWrite##bits(uint64_t offset, uint##bits##_t data) {         \
        host->pci_configuration_write(handleOf(this), offset, bits / 8, data);                 \
    }
NBDEXT_CONFIGURATION_ACCESS(8)
NBDEXT_CONFIGURATION_ACCESS(16)
NBDEXT_CONFIGURATION_ACCESS(32)

// MARK: The rest

kern_return_t IOPCIDevice::GetBARInfo_Impl(
    uint8_t barIndex, uint8_t *memoryIndex, uint64_t *barSize, uint8_t *barType) {
    if (!memoryIndex || !barSize || !barType) return kIOReturnBadArgument;
    return host->pci_bar(handleOf(this), barIndex, memoryIndex, barSize, barType);
}

kern_return_t IOPCIDevice::FindPCICapability_Impl(
    uint32_t capabilityID, uint64_t searchOffset, uint64_t *foundCapabilityOffset) {
    if (!foundCapabilityOffset) return kIOReturnBadArgument;
    return host->pci_find_capability(handleOf(this), capabilityID, searchOffset, foundCapabilityOffset);
}

kern_return_t IOPCIDevice::GetBusDeviceFunction_Impl(
    uint8_t *returnBusNumber, uint8_t *returnDeviceNumber, uint8_t *returnFunctionNumber) {
    if (!returnBusNumber || !returnDeviceNumber || !returnFunctionNumber) return kIOReturnBadArgument;
    return host->pci_location(handleOf(this), returnBusNumber, returnDeviceNumber, returnFunctionNumber);
}

kern_return_t IOPCIDevice::ConfigureInterrupts_Impl(
    uint32_t interruptType, uint32_t numRequired, uint32_t numRequested, IOOptionBits options) {
    return host->pci_configure_interrupts(handleOf(this), interruptType, numRequired, numRequested, options);
}

kern_return_t IOPCIDevice::Reset_Impl(uint32_t type, IOOptionBits options) {
    return host->pci_reset(handleOf(this), type, options);
}

kern_return_t IOPCIDevice::HasPCIPowerManagement_Impl(uint64_t) { return kIOReturnUnsupported; }
kern_return_t IOPCIDevice::EnablePCIPowerManagement_Impl(uint64_t) { return kIOReturnUnsupported; }
