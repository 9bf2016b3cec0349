// Memory: descriptors, maps, DMA.

#include "Runtime.h"

#include <DriverKit/IOBufferMemoryDescriptor.h>
#include <DriverKit/IODMACommand.h>
#include <DriverKit/IOMemoryMap.h>

using namespace nbdext;

static_assert(sizeof(IOAddressSegment) == sizeof(nbdext_segment));

// MARK: Descriptors

bool IOMemoryDescriptor::init() { return super::init(); }
void IOMemoryDescriptor::free() { super::free(); }

kern_return_t IOMemoryDescriptor::GetLength(uint64_t *returnLength) {
    if (!returnLength) return kIOReturnBadArgument;
    nbdext_segment range = {};
    const kern_return_t status = host->memory_range(handleOf(this), &range);
    *returnLength = range.length;
    return status;
}

kern_return_t IOMemoryDescriptor::CreateMapping_Impl(
    uint64_t options, uint64_t address, uint64_t offset, uint64_t length, uint64_t alignment, IOMemoryMap **map) {
    return create(map, [=, this](nbdext_skin *skin, nbdext_object **handle) {
        return host->map_create(handleOf(this), options, address, offset, length, alignment, skin, handle);
    });
}

kern_return_t IOMemoryDescriptor::CreateSubMemoryDescriptor_Impl(
    uint64_t options, uint64_t offset, uint64_t length, IOMemoryDescriptor *ofDescriptor,
    IOMemoryDescriptor **memory) {
    if (!ofDescriptor) return kIOReturnBadArgument;
    return create(memory, [=](nbdext_skin *skin, nbdext_object **handle) {
        return host->memory_part(handleOf(ofDescriptor), options, offset, length, skin, handle);
    });
}

kern_return_t IOBufferMemoryDescriptor::Create_Impl(
    uint64_t options, uint64_t capacity, uint64_t alignment, IOBufferMemoryDescriptor **memory) {
    return create(memory, [=](nbdext_skin *skin, nbdext_object **handle) {
        return host->memory_create(options, capacity, alignment, skin, handle);
    });
}

bool IOBufferMemoryDescriptor::init() { return super::init(); }
void IOBufferMemoryDescriptor::free() { super::free(); }

kern_return_t IOBufferMemoryDescriptor::GetAddressRange(IOAddressSegment *range) {
    if (!range) return kIOReturnBadArgument;
    return host->memory_range(handleOf(this), reinterpret_cast<nbdext_segment *>(range));
}

kern_return_t IOBufferMemoryDescriptor::SetLength_Impl(uint64_t length) {
    return host->memory_set_length(handleOf(this), length);
}

// MARK: Maps

bool IOMemoryMap::init() { return super::init(); }
void IOMemoryMap::free() { super::free(); }

namespace {

nbdext_segment rangeOf(const IOMemoryMap *map, uint64_t *offset) {
    nbdext_segment range = {};
    host->map_range(handleOf(map), &range, offset);
    return range;
}

}  // namespace

uint64_t IOMemoryMap::GetAddress() {
    uint64_t offset = 0;
    return rangeOf(this, &offset).address;
}
uint64_t IOMemoryMap::GetLength() {
    uint64_t offset = 0;
    return rangeOf(this, &offset).length;
}
uint64_t IOMemoryMap::GetOffset() {
    uint64_t offset = 0;
    rangeOf(this, &offset);
    return offset;
}

// MARK: DMA

bool IODMACommand::init() { return super::init(); }
void IODMACommand::free() { super::free(); }

kern_return_t IODMACommand::Create_Impl(
    IOService *device, uint64_t options, const IODMACommandSpecification *specification, IODMACommand **command) {
    if (!device || !specification) return kIOReturnBadArgument;
    return create(command, [=](nbdext_skin *skin, nbdext_object **handle) {
        return host->dma_create(handleOf(device), options, specification->maxAddressBits, skin, handle);
    });
}

kern_return_t IODMACommand::PrepareForDMA_Impl(
    uint64_t options, IOMemoryDescriptor *memory, uint64_t offset, uint64_t length, uint64_t *flags,
    uint32_t *segmentsCount, IOAddressSegment segments[32]) {
    if (!memory || !segmentsCount || !segments) return kIOReturnBadArgument;
    if (*segmentsCount > NBDEXT_DEXT_LIST_MAX) *segmentsCount = NBDEXT_DEXT_LIST_MAX;
    uint64_t ignored = 0;
    return host->dma_prepare(
        handleOf(this), options, handleOf(memory), offset, length, flags ? flags : &ignored, segmentsCount,
        reinterpret_cast<nbdext_segment *>(segments));
}

kern_return_t IODMACommand::CompleteDMA_Impl(uint64_t options) { return host->dma_complete(handleOf(this), options); }

kern_return_t IODMACommand::GetPreparation_Impl(uint64_t *offset, uint64_t *length, IOMemoryDescriptor **memory) {
    uint64_t ignored[2];
    nbdext_object *handle = nullptr;
    const kern_return_t status = host->dma_preparation(
        handleOf(this), offset ? offset : &ignored[0], length ? length : &ignored[1], &handle);
    if (memory) {
        *memory = objectAs<IOMemoryDescriptor>(handle);
    } else {
        releaseObject(objectOf(handle));
    }
    return status;
}

kern_return_t IODMACommand::PerformOperation_Impl(
    uint64_t options, uint64_t dmaOffset, uint64_t length, uint64_t dataOffset, IOMemoryDescriptor *data) {
    return host->dma_perform(handleOf(this), options, dmaOffset, length, dataOffset, handleOf(data));
}
