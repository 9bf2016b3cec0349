// The checks: every class and call of the kit, used once, with the result that macOS gives.

#include <DriverKit/DriverKit.h>
#include <DriverKit/OSSharedPtr.h>
#include <DriverKit/storage/IOStorageProtocolCharacteristics.h>
#include <Availability.h>
#include <PCIDriverKit/PCIDriverKit.h>
#include <SCSIControllerDriverKit/SCSIControllerDriverKit.h>
#include <inttypes.h>
#include <mach/mach_time.h>
#include <os/log.h>
#include <type_traits>

#include "KitDriver.h"
#include "KitUserClient.h"

#define Log(format, ...) os_log(OS_LOG_DEFAULT, "KitDriver: " format, ##__VA_ARGS__)
#define CHECK(condition) Check(#condition, (condition))

static_assert(std::is_same_v<uint64_t, unsigned long long>, "uint64_t is as on macOS");
static_assert(PAGE_SIZE == 16384, "pages are as on Apple silicon");

bool KitDriver::Check(const char * name, bool isRight)
{
    __atomic_fetch_add(&ivars->checks, 1, __ATOMIC_RELAXED);
    if (!isRight) {
        __atomic_fetch_add(&ivars->failures, 1, __ATOMIC_RELAXED);
        os_log_error(OS_LOG_DEFAULT, "KitDriver: check failed: %{public}s", name);
    }
    return isRight;
}

void KitDriver::RunChecks()
{
    CheckObjects();
    CheckProperties();
    CheckQueues();
    CheckActions();
    CheckSources();
    CheckMemory();
    CheckLibrary();
    CheckFamily();
    CheckCard();
    OSDictionary * results = OSDictionary::withCapacity(2);
    OSDictionarySetUInt64Value(results, "KitChecksDone", ivars->checks);
    OSDictionarySetUInt64Value(results, "KitFailures", ivars->failures);
    SetProperties(results);
    results->release();
    Log("%u checks, %u failures", ivars->checks, ivars->failures);
}

bool KitDriver::Wait(bool (^condition)(void)) const
{
    for (int turn = 0; turn < 2000; ++turn) {
        if (condition()) return true;
        IOSleep(1);
    }
    return false;
}

uint32_t KitDriver::CountTo(uint32_t limit)
{
    uint32_t count = 0;
    while (count < limit) ++count;
    return count;
}

// MARK: Objects

struct KitObject_IVars {
    uint64_t value;
};

static uint64_t gLiveObjects;

bool KitObject::init()
{
    if (!super::init()) return false;
    ivars = IONewZero(KitObject_IVars, 1);
    __atomic_fetch_add(&gLiveObjects, 1, __ATOMIC_RELAXED);
    return ivars != nullptr;
}
void KitObject::free()
{
    const bool isLost = ivars->value == kKitValueThatIsLost;
    IOSafeDeleteNULL(ivars, KitObject_IVars, 1);
    __atomic_fetch_sub(&gLiveObjects, 1, __ATOMIC_RELAXED);
    if (!isLost) super::free();
}
uint64_t KitObject::Value() const { return ivars->value; }
void KitObject::SetValue(uint64_t value) { ivars->value = value; }
uint64_t KitSpecialObject::Value() const { return super::Value() + 1000; }

kern_return_t IMPL(KitDriver, Make)
{
    KitObject * made = OSTypeAlloc(KitObject);
    if (made == nullptr || !made->init()) return kIOReturnNoMemory;
    made->SetValue(value);
    *object = made;
    return kIOReturnSuccess;
}

void KitDriver::CheckObjects()
{
    KitObject * object = nullptr;
    CHECK(Make(5, &object) == kIOReturnSuccess && object->Value() == 5);
    CHECK(OSDynamicCast(OSObject, object) == object);
    CHECK(OSDynamicCast(KitSpecialObject, object) == nullptr);
    CHECK(OSDynamicCast(IOService, static_cast<OSObject *>(this)) == this);
    CHECK(OSDynamicCast(IOUserClient, static_cast<OSObject *>(this)) == nullptr);
    CHECK(strcmp(object->getMetaClass()->getClassName(), "KitObject") == 0);
    object->retain();
    object->release();
    CHECK(gLiveObjects == 1);
    KitSpecialObject * special = OSTypeAlloc(KitSpecialObject);
    CHECK(special->init());
    special->SetValue(1);
    KitObject * base = special;
    CHECK(base->Value() == 1001);
    {
        OSSharedPtr<KitObject> pointer(base, OSRetain);
        OSSharedPtr<OSObject> other = pointer;
        CHECK(OSDynamicPtrCast<KitSpecialObject>(other).get() == special);
        special->release();
        CHECK(gLiveObjects == 2 && pointer);
    }
    OSSafeReleaseNULL(object);
    CHECK(object == nullptr && gLiveObjects == 0);
    IOService * provider = GetProvider();
    CHECK(provider != nullptr);
    uint64_t id = 0;
    CHECK(GetRegistryEntryID(&id) == kIOReturnSuccess && id != 0);
    OSString * name = nullptr;
    CHECK(SetName("KitDriver") == kIOReturnSuccess && CopyName(&name) == kIOReturnSuccess);
    CHECK(name != nullptr && name->isEqualTo("KitDriver"));
    OSSafeReleaseNULL(name);
    uint32_t busy = 0;
    CHECK(AdjustBusy(1) == kIOReturnSuccess && GetBusyState(&busy) == kIOReturnSuccess && busy >= 1);
    CHECK(AdjustBusy(-1) == kIOReturnSuccess);
}

// MARK: Properties

void KitDriver::CheckProperties()
{
    OSDictionary * all = OSDictionary::withCapacity(4);
    OSArray * array = OSArray::withCapacity(2);
    OSNumber * number = OSNumber::withNumber(0x1FF, 8);
    OSString * text = OSString::withCString("text");
    OSData * data = OSData::withBytes("\x01\x02\x03", 3);
    CHECK(number->unsigned32BitValue() == 0xFF && number->numberOfBits() == 8);
    CHECK(array->setObject(number) && array->setObject(text) && array->getCount() == 2);
    CHECK(array->getObject(1) == text && array->getObject(2) == nullptr);
    CHECK(data->appendBytes("\x04", 1) && data->getLength() == 4 && data->getBytesNoCopy(4, 1) == nullptr);
    CHECK(all->setObject("array", array) && all->setObject("data", data) && all->setObject("text", text));
    CHECK(all->setObject("yes", kOSBooleanTrue) && all->setObject(text, number) && all->getCount() == 4);
    CHECK(OSDictionarySetStringValue(all, "text", "text") && all->getCount() == 4);
    CHECK(SetProperties(all) == kIOReturnSuccess);

    OSDictionary * copy = nullptr;
    CHECK(CopyProperties(&copy) == kIOReturnSuccess && copy != nullptr);
    OSDictionary * keys = OSDictionary::withDictionary(all, 4);
    CHECK(copy->isEqualTo(all, keys) && all->isEqualTo(keys));
    OSNumber * back = OSDynamicCast(OSNumber, OSDynamicCast(OSArray, copy->getObject("array"))->getObject(0));
    CHECK(back != nullptr && back->isEqualTo(number));
    CHECK(OSDynamicCast(OSBoolean, copy->getObject("yes")) == kOSBooleanTrue);
    __block uint32_t count = 0;
    copy->iterateObjects(^bool(OSObject * key, OSObject * value) {
        count += OSDynamicCast(OSString, key) != nullptr && value != nullptr;
        return true;
    });
    CHECK(count == copy->getCount());
    copy->removeObject("text");
    CHECK(copy->getObject("text") == nullptr && all->getObject("text") != nullptr);
    CHECK(RemoveProperty(text) == kIOReturnSuccess);

    OSContainer * found = nullptr;
    CHECK(SearchProperty("IOUserClass", "IOService", kIOServiceSearchPropertyParents, &found) == kIOReturnSuccess);
    CHECK(OSDynamicCast(OSString, found) != nullptr);
    OSSafeReleaseNULL(found);
    CHECK(SearchProperty("no such property", "IOService", 0, &found) != kIOReturnSuccess && found == nullptr);
    OSArray * ofProviders = nullptr;
    CHECK(CopyProviderProperties(nullptr, &ofProviders) == kIOReturnSuccess && ofProviders->getCount() >= 1);
    OSSafeReleaseNULL(ofProviders);
    OSDictionary * matching = CreatePropertyMatchingDictionary("key", "value", nullptr);
    CHECK(OSDynamicCast(OSDictionary, matching->getObject(kIOPropertyMatchKey)) != nullptr);
    OSSafeReleaseNULL(matching);
    OSSafeReleaseNULL(keys);
    OSSafeReleaseNULL(copy);
    OSSafeReleaseNULL(data);
    OSSafeReleaseNULL(text);
    OSSafeReleaseNULL(number);
    OSSafeReleaseNULL(array);
    OSSafeReleaseNULL(all);
}

// MARK: Queues and remote methods

kern_return_t IMPL(KitDriver, Add)
{
    if (!ivars->mathQueue->OnQueue()) return kIOReturnError;
    *sum = (uint64_t)a + b;
    return kIOReturnSuccess;
}
void IMPL(KitDriver, Remember)
{
    ivars->pair = pair;
    strlcpy(ivars->name, name, sizeof(ivars->name));
    ivars->objectValue = object->Value();
    __atomic_fetch_add(&ivars->rememberedCount, 1, __ATOMIC_RELEASE);
}
kern_return_t IMPL(KitDriver, OnMissingQueue) { return kIOReturnSuccess; }
kern_return_t IMPL(KitDriver, Describe) const { return *value = ivars->stage, kIOReturnSuccess; }
#if KIT_DRIVER_TRACES
kern_return_t IMPL(KitDriver, Trace) { return mask != 0 ? kIOReturnSuccess : kIOReturnBadArgument; }
#endif

void KitDriver::CheckQueues()
{
    CHECK(strcmp(ivars->mathQueue->GetName(), "MathQueue") == 0 && !ivars->mathQueue->OnQueue());
    __block int order = 0;
    ivars->mathQueue->DispatchSync(^{ CHECK(ivars->mathQueue->OnQueue() && ++order == 1); });
    CHECK(order == 1);
    CHECK(ivars->mathQueue->RunAction(^kern_return_t { return kIOReturnBusy; }) == kIOReturnBusy);
    ivars->mathQueue->DispatchAsync(^{
        IODispatchQueue * outer = ivars->mathQueue;
        outer->DispatchAsync(^{ __atomic_store_n(&order, 3, __ATOMIC_RELEASE); });
    });
    CHECK(Wait(^bool { return __atomic_load_n(&order, __ATOMIC_ACQUIRE) == 3; }));
    ivars->mathQueue->DispatchSync_f(&order, [](void * context) { *(int *)context = 4; });
    CHECK(order == 4);

    // A reentrant queue does other work while its caller sleeps.
    __block kern_return_t slept = kIOReturnError;
    ivars->mathQueue->DispatchAsync(^{ slept = ivars->mathQueue->SleepWithTimeout(&ivars->pair, 2 * NSEC_PER_SEC); });
    IOSleep(20);
    CHECK(ivars->mathQueue->RunAction(^kern_return_t { return ivars->mathQueue->Wakeup(&ivars->pair); }) == 0);
    ivars->mathQueue->DispatchSync(^{});
    CHECK(Wait(^bool { return slept == kIOReturnSuccess; }));

    IODispatchQueue * copy = nullptr;
    CHECK(CopyDispatchQueue("MathQueue", &copy) == kIOReturnSuccess && copy == ivars->mathQueue);
    OSSafeReleaseNULL(copy);
    CHECK(CopyDispatchQueue("Default", &copy) == kIOReturnSuccess && strcmp(copy->GetName(), "Default") == 0);
    OSSafeReleaseNULL(copy);
    CHECK(CopyDispatchQueue("NoSuchQueue", &copy) != kIOReturnSuccess);

    IODispatchQueue * queue = nullptr;
    CHECK(IODispatchQueue::Create("short", 0, 0, &queue) == kIOReturnSuccess);
    __block bool isCancelled = false;
    CHECK(queue->Cancel(^{ __atomic_store_n(&isCancelled, true, __ATOMIC_RELEASE); }) == kIOReturnSuccess);
    CHECK(Wait(^bool { return __atomic_load_n(&isCancelled, __ATOMIC_ACQUIRE); }));
    OSSafeReleaseNULL(queue);

    uint64_t sum = 0;
    CHECK(Add(0xFFFFFFFF, 2, &sum) == kIOReturnSuccess && sum == 0x100000001);
    uint64_t stage = 0;
    const KitDriver * self = this;
    CHECK(self->Describe(&stage) == kIOReturnSuccess && stage == kStageStarted);
    KitObject * object = nullptr;
    CHECK(Make(77, &object) == kIOReturnSuccess);
    Remember(KitPair{1, 2}, object, "a name");
    // The call keeps the object until it has run.
    OSSafeReleaseNULL(object);
    CHECK(Wait(^bool { return __atomic_load_n(&ivars->rememberedCount, __ATOMIC_ACQUIRE) == 1; }));
    CHECK(ivars->pair.first == 1 && ivars->pair.second == 2 && ivars->objectValue == 77);
    CHECK(strcmp(ivars->name, "a name") == 0);
    CHECK(Wait(^bool { return __atomic_load_n(&gLiveObjects, __ATOMIC_ACQUIRE) == 0; }));
    CHECK(CountTo(3) == 3);
}

// MARK: Actions and sources

void IMPL(KitDriver, HandleEvent)
{
    CHECK(ivars->eventQueue->OnQueue() && action == ivars->event);
    CHECK(*(uint64_t *)action->GetReference() == 99);
    ivars->pair = pair;
    memcpy(ivars->list, list, sizeof(ivars->list));
    strlcpy(ivars->name, name, sizeof(ivars->name));
    ivars->objectValue = object->Value();
    __atomic_fetch_add(&ivars->eventCount, 1, __ATOMIC_RELEASE);
}
void IMPL(KitDriver, InterruptArrived)
{
    CHECK(action == ivars->interruptAction && count == 1 && time != 0);
    __atomic_fetch_add(&ivars->interruptCount, 1, __ATOMIC_RELEASE);
}
void IMPL(KitDriver, TimeIsUp)
{
    CHECK(action == ivars->timerAction && time <= mach_absolute_time() && ivars->eventQueue->OnQueue());
    __atomic_fetch_add(&ivars->timerCount, 1, __ATOMIC_RELEASE);
}

void KitDriver::CheckActions()
{
    CHECK(CreateActionHandleEvent(sizeof(uint64_t), &ivars->event) == kIOReturnSuccess);
    CHECK(*(uint64_t *)ivars->event->GetReference() == 0);
    *(uint64_t *)ivars->event->GetReference() = 99;
    KitObject * object = nullptr;
    CHECK(Make(7, &object) == kIOReturnSuccess);
    uint16_t list[kKitListCount] = {1, 2, 3, 4, 5, 6};
    EventHappened(ivars->event, KitPair{8, 9}, list, "event", object);
    memset(list, 0, sizeof(list));   // the call has copied it
    OSSafeReleaseNULL(object);
    CHECK(Wait(^bool { return __atomic_load_n(&ivars->eventCount, __ATOMIC_ACQUIRE) == 1; }));
    CHECK(ivars->pair.first == 8 && ivars->list[0] == 1 && ivars->list[5] == 6 && ivars->objectValue == 7);
    CHECK(strcmp(ivars->name, "event") == 0);
    CHECK(Wait(^bool { return __atomic_load_n(&gLiveObjects, __ATOMIC_ACQUIRE) == 0; }));

    OSAction * cancelled = nullptr;
    CHECK(CreateActionHandleEvent(0, &cancelled) == kIOReturnSuccess && cancelled->GetReference() == nullptr);
    __block bool isCancelled = false;
    CHECK(cancelled->Cancel(^{ __atomic_store_n(&isCancelled, true, __ATOMIC_RELEASE); }) == kIOReturnSuccess);
    CHECK(Wait(^bool { return __atomic_load_n(&isCancelled, __ATOMIC_ACQUIRE); }));
    EventHappened(cancelled, KitPair{}, list, "never", nullptr);
    OSSafeReleaseNULL(cancelled);
}

void KitDriver::CheckSources()
{
    CHECK(IOTimerDispatchSource::Create(ivars->eventQueue, &ivars->timer) == kIOReturnSuccess);
    CHECK(CreateActionTimeIsUp(0, &ivars->timerAction) == kIOReturnSuccess);
    CHECK(ivars->timer->SetHandler(ivars->timerAction) == kIOReturnSuccess);
    CHECK(ivars->timer->SetEnable(true) == kIOReturnSuccess);
    mach_timebase_info_data_t base = {};
    CHECK(mach_timebase_info(&base) == KERN_SUCCESS && base.numer > base.denom);
    const uint64_t ticks = 5 * NSEC_PER_MSEC * base.denom / base.numer;
    const uint64_t start = mach_absolute_time();
    CHECK(ivars->timer->WakeAtTime(kIOTimerClockMachAbsoluteTime, start + ticks, 0) == kIOReturnSuccess);
    CHECK(Wait(^bool { return __atomic_load_n(&ivars->timerCount, __ATOMIC_ACQUIRE) == 1; }));
    CHECK(mach_absolute_time() - start >= ticks);
    const uint64_t now = clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
    CHECK(ivars->timer->WakeAtTime(kIOTimerClockUptimeRaw, now + NSEC_PER_MSEC, 0) == kIOReturnSuccess);
    CHECK(Wait(^bool { return __atomic_load_n(&ivars->timerCount, __ATOMIC_ACQUIRE) == 2; }));
    __block bool isOff = false;
    CHECK(ivars->timer->SetEnableWithCompletion(false, ^{
        __atomic_store_n(&isOff, true, __ATOMIC_RELEASE);
    }) == kIOReturnSuccess);
    CHECK(Wait(^bool { return __atomic_load_n(&isOff, __ATOMIC_ACQUIRE); }));
}

// MARK: Memory

void KitDriver::CheckMemory()
{
    IOBufferMemoryDescriptor * memory = nullptr;
    CHECK(IOBufferMemoryDescriptor::Create(kIOMemoryDirectionInOut, 3 * PAGE_SIZE, 0, &memory) == kIOReturnSuccess);
    IOAddressSegment range = {};
    CHECK(memory->GetAddressRange(&range) == kIOReturnSuccess && range.length == 3 * PAGE_SIZE);
    uint8_t * bytes = (uint8_t *)range.address;
    CHECK(bytes[0] == 0 && bytes[range.length - 1] == 0);
    for (uint64_t index = 0; index < range.length; ++index) bytes[index] = (uint8_t)index;
    IOMemoryMap * map = nullptr;
    CHECK(memory->CreateMapping(0, 0, PAGE_SIZE, 0, 0, &map) == kIOReturnSuccess);
    CHECK(map->GetLength() == 2 * PAGE_SIZE && map->GetOffset() == PAGE_SIZE);
    CHECK(memcmp((void *)map->GetAddress(), bytes + PAGE_SIZE, 2 * PAGE_SIZE) == 0);
    OSSafeReleaseNULL(map);
    IOMemoryDescriptor * part = nullptr;
    CHECK(IOMemoryDescriptor::CreateSubMemoryDescriptor(0, 16, 32, memory, &part) == kIOReturnSuccess);
    uint64_t length = 0;
    CHECK(part->GetLength(&length) == kIOReturnSuccess && length == 32);
    OSSafeReleaseNULL(part);
    CHECK(memory->SetLength(100) == kIOReturnSuccess && memory->GetLength(&length) == kIOReturnSuccess);
    CHECK(length == 100 && memory->SetLength(4 * PAGE_SIZE) != kIOReturnSuccess);
    OSSafeReleaseNULL(memory);
    CHECK(IOBufferMemoryDescriptor::Create(0, 0, 0, &memory) != kIOReturnSuccess && memory == nullptr);
}

void KitDriver::CheckCard()
{
    IOPCIDevice * card = OSDynamicCast(IOPCIDevice, GetProvider());
    if (card == nullptr) return;
    CHECK(card->Open(this, 0) == kIOReturnSuccess);
    uint8_t memoryIndex = 0xFF, type = 0xFF;
    uint64_t size = 0;
    CHECK(card->GetBARInfo(0, &memoryIndex, &size, &type) == kIOReturnSuccess && size > 0);
    CHECK(card->GetBARInfo(5, &memoryIndex, &size, &type) != kIOReturnSuccess || size > 0);
    uint32_t value = 0;
    card->MemoryRead32(0, 0, &value);
    uint16_t command = 0;
    card->ConfigurationRead16(kIOPCIConfigurationOffsetCommand, &command);
    card->ConfigurationWrite16(
        kIOPCIConfigurationOffsetCommand, command | kIOPCICommandBusMaster | kIOPCICommandMemorySpace);

    CHECK(IOInterruptDispatchSource::Create(card, 0, ivars->eventQueue, &ivars->interrupts) == kIOReturnSuccess);
    CHECK(CreateActionInterruptArrived(0, &ivars->interruptAction) == kIOReturnSuccess);
    CHECK(ivars->interrupts->SetHandler(ivars->interruptAction) == kIOReturnSuccess);
    CHECK(ivars->interrupts->SetEnable(true) == kIOReturnSuccess);
    uint64_t interruptType = 0, count = 0, time = 0;
    CHECK(IOInterruptDispatchSource::GetInterruptType(card, 0, &interruptType) == kIOReturnSuccess);
    CHECK(ivars->interrupts->GetLastInterrupt(&count, &time) == kIOReturnSuccess);

    IODMACommandSpecification specification = {};
    specification.maxAddressBits = 64;
    IODMACommand * dma = nullptr;
    CHECK(IODMACommand::Create(card, 0, &specification, &dma) == kIOReturnSuccess);
    IOBufferMemoryDescriptor * memory = nullptr;
    CHECK(IOBufferMemoryDescriptor::Create(kIOMemoryDirectionInOut, PAGE_SIZE, 0, &memory) == kIOReturnSuccess);
    uint64_t flags = 0;
    uint32_t segmentCount = 32;
    IOAddressSegment segments[32];
    CHECK(dma->PrepareForDMA(0, memory, 0, 0, &flags, &segmentCount, segments) == kIOReturnSuccess);
    CHECK(segmentCount == 1 && segments[0].length == PAGE_SIZE && segments[0].address != 0);
    uint64_t offset = 1, length = 0;
    IOMemoryDescriptor * prepared = nullptr;
    CHECK(dma->GetPreparation(&offset, &length, &prepared) == kIOReturnSuccess);
    CHECK(offset == 0 && length == PAGE_SIZE && prepared == memory);
    OSSafeReleaseNULL(prepared);
    CHECK(dma->CompleteDMA(0) == kIOReturnSuccess);
    OSSafeReleaseNULL(memory);
    OSSafeReleaseNULL(dma);
}

// MARK: The library

void KitDriver::CheckLibrary()
{
    IOLock * lock = IOLockAlloc();
    IOLockLock(lock);
    CHECK(!IOLockTryLock(lock));
    IOLockAssert(lock, kIOLockAssertOwned);
    IOLockUnlock(lock);
    IOLockAssert(lock, kIOLockAssertNotOwned);
    IOLockFreeZero(lock);
    CHECK(lock == nullptr);
    IORecursiveLock * recursive = IORecursiveLockAlloc();
    IORecursiveLockLock(recursive);
    IORecursiveLockLock(recursive);
    CHECK(IORecursiveLockHaveLock(recursive));
    IORecursiveLockUnlock(recursive);
    CHECK(IORecursiveLockHaveLock(recursive));
    IORecursiveLockUnlock(recursive);
    CHECK(!IORecursiveLockHaveLock(recursive));
    IORecursiveLockFreeZero(recursive);
    IORWLock * shared = IORWLockAlloc();
    IORWLockRead(shared);
    IORWLockUnlock(shared);
    IORWLockWrite(shared);
    IORWLockUnlock(shared);
    IORWLockFreeZero(shared);

    const uint64_t start = clock_gettime_nsec_np(CLOCK_MONOTONIC_RAW);
    IODelay(100);
    CHECK(clock_gettime_nsec_np(CLOCK_MONOTONIC_RAW) >= start);
    CHECK(IOVMPageSize == 16384 && vm_page_size == 16384);
    CHECK(OSSwapHostToBigInt32(1) == 0x01000000 && OSSwapInt64(1) == 0x0100000000000000);
    CHECK(kIOReturnError == (int)0xE00002BC && err_get_system(kIOReturnError) == 0x38);
    CHECK(err_get_code(kIOReturnNotFound) == 0x2F0 && err_get_sub(iokit_family_err(sub_iokit_scsi, 1)) == 16);
    char text[4];
    CHECK(strlcpy(text, "long text", sizeof(text)) == 9 && strcmp(text, "lon") == 0);
    CHECK(crc32(0, "123456789", 9) == 0xCBF43926);
    size_t size = 0;
    CHECK(os_mul_overflow(SIZE_MAX, (size_t)2, &size) && IONew(uint64_t, SIZE_MAX) == nullptr);
    OSSynchronizeIO();
    IOLog("a line of IOLog with %d numbers and %s\n", 2, "a text");
    IOLogBuffer("bytes", "\x01\x02", 2);
    os_log_info(
        OS_LOG_DEFAULT, "%{public}s|%5d|%-4u|%#llx|%c|%zu|%.3s|%.*s|%p|%5.2f|%%|%hhd|%{darwin.errno}d", "s", -3,
        4u, 5ull, 'x', (size_t)6, "cut here", 2, "ab", (void *)0, 1.5, 300, 2);
    os_log_t own = os_log_create("org.nbdext.kit", "checks");
    os_log_debug(own, "uint64 %" PRIu64 ", private %{private}s", UINT64_MAX, "text");
}

// MARK: The family

void KitDriver::CheckFamily()
{
    bool isPresent = true;
    // The kernel looks for targets meanwhile, but not for one with the initiator's ID.
    CHECK(UserTargetPresentForID(7, &isPresent) == kIOReturnSuccess && !isPresent);
    OSDictionary * properties = OSDictionary::withCapacity(1);
    OSData * name = OSData::withBytes("\x50\x01\x02\x03\x04\x05\x06\x07", 8);
    properties->setObject(kIOPropertyFibreChannelNodeWorldWideNameKey, name);
    name->release();
    CHECK(UserSetHBAProperties(properties) == kIOReturnSuccess);
    if (!ivars->isBundled) {
        CHECK(Wait(^bool {
            bool isThere = false;
            return UserTargetPresentForID(0, &isThere) == kIOReturnSuccess && isThere;
        }));
        CHECK(UserSetTargetProperties(0, properties) == kIOReturnSuccess);
    }
    properties->release();
    OSString * key = OSString::withCString(kIOPropertyFibreChannelNodeWorldWideNameKey);
    OSArray * keys = OSArray::withCapacity(1);
    keys->setObject(key);
    CHECK(UserRemoveHBAProperties(keys) == kIOReturnSuccess);
    if (!ivars->isBundled) CHECK(UserRemoveTargetProperties(0, keys) == kIOReturnSuccess);
    keys->release();
    key->release();
    CHECK(UserCallMediaParametersHaveChanged() == kIOReturnSuccess);
    bool isSupported = true;
    CHECK(UserDoesHBASupportSCSIParallelFeature(kSCSIParallelFeature_WideDataTransfer, &isSupported) == 0);
    CHECK(!isSupported);
    CHECK(JoinPMTree() == kIOReturnSuccess && RequireMaxBusStall(kIOMaxBusStallNone) == kIOReturnSuccess);
}
