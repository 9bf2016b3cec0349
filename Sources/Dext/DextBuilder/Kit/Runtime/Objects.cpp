// Objects: their handles, their references, their classes.

#include "Runtime.h"

#include <new>
#include <stdlib.h>

#if __has_feature(address_sanitizer)
#define NBDEXT_KEEPS_FREED_OBJECTS 0
#else
#define NBDEXT_KEEPS_FREED_OBJECTS 1
#endif

extern "C" {
extern const OSMetaClass *const __start_nbdext_classes[] __attribute__((visibility("hidden")));
extern const OSMetaClass *const __stop_nbdext_classes[] __attribute__((visibility("hidden")));
}

using namespace nbdext;

const nbdext_dext_host *nbdext::host;

// MARK: Freed objects

#if NBDEXT_KEEPS_FREED_OBJECTS
namespace {

/// What an object becomes when it is freed, for as long as its memory is kept: a late retain or release is reported.
/// AddressSanitizer does this better, and gets the memory at once.
class FreedObject final : public OSObject {
public:
    explicit FreedObject(const char *name) { ivars = reinterpret_cast<OSObject_IVars *>(const_cast<char *>(name)); }
    const OSMetaClass *getMetaClass() const override { return OSTypeID(OSObject); }
    void retain() const override { tell("retained"); }
    void release() const override { tell("released"); }
    bool isEqualTo(const OSMetaClassBase *) const override { return tell("compared"), false; }
    kern_return_t Dispatch(const IORPC) override { return tell("called"), kIOReturnError; }
    bool init() override { return tell("initialised"), false; }
    void free() override { tell("freed"); }

private:
    // Its only field is one that the freed object had too, so that it fits into the same memory.
    void tell(const char *use) const {
        report(NBDEXT_FAULT_FREED_OBJECT, "a freed object (%s) was %s", reinterpret_cast<char *>(ivars), use);
    }
};
static_assert(sizeof(FreedObject) == sizeof(OSObject));

constexpr size_t keptCount = 256;
void *kept[keptCount];
size_t nextKept;
/// The class of the object that this thread deletes.
thread_local const char *deletedName = "object";

}  // namespace
#endif

void Runtime::freedObject(const OSMetaClassBase *object) {
    report(NBDEXT_FAULT_FREED_OBJECT, "a freed object (at %p) was used", (const void *)object);
    abort();
}

void *OSMetaClassBase::operator new(size_t size) {
    void *memory = calloc(1, size);
    if (!memory) abort();
    return memory;
}

void OSMetaClassBase::operator delete(void *memory) {
#if NBDEXT_KEEPS_FREED_OBJECTS
    ::new (memory) FreedObject(deletedName);
    const size_t slot = __atomic_fetch_add(&nextKept, 1, __ATOMIC_RELAXED) % keptCount;
    memory = __atomic_exchange_n(&kept[slot], memory, __ATOMIC_ACQ_REL);
#endif
    free(memory);
}

// MARK: The root

OSMetaClassBase::OSMetaClassBase() : nbdextHandle(nullptr) {}
OSMetaClassBase::~OSMetaClassBase() = default;

constinit const OSMetaClass OSMetaClassBase::gMetaClass = {"OSMetaClassBase", nullptr, true, nullptr, nullptr, nullptr};

const OSMetaClass *OSMetaClassBase::getMetaClass() const { return &gMetaClass; }
void OSMetaClassBase::retain() const { host->retain(handleOf(this)); }
void OSMetaClassBase::release() const {
    if (host->release(handleOf(this))) endObject(const_cast<OSMetaClassBase *>(this));
}
bool OSMetaClassBase::isEqualTo(const OSMetaClassBase *object) const { return this == object; }
int OSMetaClassBase::getRetainCount() const { return static_cast<int>(host->retain_count(handleOf(this))); }

kern_return_t OSMetaClassBase::Dispatch(const IORPC rpc) { return _Dispatch(this, rpc); }
kern_return_t OSMetaClassBase::_Dispatch(OSMetaClassBase *self, const IORPC rpc) {
    const OSMetaClass *type = self->getMetaClass();
    report(
        NBDEXT_FAULT_UNKNOWN_METHOD, "%s was called, and %s does not implement it", methodName(type, rpc.id),
        type->name);
    return kIOReturnUnsupported;
}

// MARK: OSObject

namespace {

/// The objects that are being freed on this thread, innermost first.
struct Ending {
    const OSMetaClassBase *object;
    Ending *outer;
    bool done;
};
thread_local Ending *endings;

}  // namespace

void nbdext::endObject(OSMetaClassBase *object) {
    Ending ending = {object, endings, false};
    const char *name = object->getMetaClass()->name;
    endings = &ending;
    static_cast<OSObject *>(object)->free();
    endings = ending.outer;
    if (!ending.done) {
        report(NBDEXT_FAULT_BAD_ARGUMENT, "%s::free did not call super::free(): its memory is lost", name);
    }
}

bool OSObject::init() { return true; }

void OSObject::free() {
    for (Ending *ending = endings; ending; ending = ending->outer) {
        if (ending->object == this) ending->done = true;
    }
    nbdext_object *handle = handleOf(this);
#if NBDEXT_KEEPS_FREED_OBJECTS
    deletedName = getMetaClass()->name;
#endif
    delete static_cast<OSMetaClassBase *>(this);
    host->forget(handle);
}

// MARK: Classes

bool OSMetaClass::isKindOf(const OSMetaClass *other) const {
    for (const OSMetaClass *type = this; type; type = type->superClass) {
        if (type == other) return true;
    }
    return false;
}

const OSMetaClassBase *OSMetaClass::safeMetaCast(const OSMetaClassBase *object) const { return cast(this, object); }

OSMetaClassBase *nbdext::cast(const OSMetaClass *type, const OSMetaClassBase *object) {
    if (!object || !object->getMetaClass()->isKindOf(type)) return nullptr;
    return const_cast<OSMetaClassBase *>(object);
}

OSMetaClassBase *nbdext::requireCast(const OSMetaClass *type, const OSMetaClassBase *object) {
    OSMetaClassBase *result = cast(type, object);
    if (object && !result) {
        report(NBDEXT_FAULT_ASSERTION, "OSRequiredCast: a %s is no %s", object->getMetaClass()->name, type->name);
        abort();
    }
    return result;
}

OSMetaClassBase *nbdext::alloc(const OSMetaClass *type) {
    if (!type->make) {
        report(NBDEXT_FAULT_BAD_ARGUMENT, "OSTypeAlloc(%s): the class is abstract", type->name);
        return nullptr;
    }
    OSMetaClassBase *object = type->make();
    Runtime::setHandle(object, host->make_object(type->name, skinOf(object)));
    return object;
}

const OSMetaClass *nbdext::classNamed(const char *name) {
    for (const OSMetaClass *const *type = __start_nbdext_classes; type < __stop_nbdext_classes; ++type) {
        if (strcmp((*type)->name, name) == 0) return *type;
    }
    return nullptr;
}

// MARK: Skins

OSMetaClassBase *nbdext::objectOf(nbdext_object *handle) {
    if (!handle) return nullptr;
    if (nbdext_skin *skin = host->skin(handle)) return objectOf(skin);
    const OSMetaClass *type = classNamed(host->class_name(handle));
    // An object of a class that the kit does not have is at least a service.
    if (!type || !type->make) type = classNamed("IOService");
    OSMetaClassBase *made = type->make();
    Runtime::setHandle(made, handle);
    OSMetaClassBase *object = objectOf(host->set_skin(handle, skinOf(made)));
    if (object != made) delete made;
    return object;
}

void nbdext::retainObject(const OSMetaClassBase *object) {
    if (object) object->retain();
}
void nbdext::releaseObject(const OSMetaClassBase *object) {
    if (object) object->release();
}
