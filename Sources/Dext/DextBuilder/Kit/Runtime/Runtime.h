// What the runtime's files share. The runtime is compiled into each bundle; nothing of it is visible outside.
#ifndef NBDEXT_RUNTIME_H
#define NBDEXT_RUNTIME_H

#include <Block.h>
#include <DriverKit/OSDictionary.h>
#include <DriverKit/OSObject.h>
#include <nbdext/CDextABI.h>
#include <string>
#include <vector>

namespace nbdext {

/// The host. Set once, before any other code of the runtime runs.
extern const nbdext_dext_host *host;

/// Reaches into objects.
struct Runtime {
    /// The handle of an object; null for null. An object that was freed ends the process, with a report.
    static nbdext_object *handle(const OSMetaClassBase *object) {
        if (!object) return nullptr;
        if (!object->nbdextHandle) [[unlikely]] freedObject(object);
        return object->nbdextHandle;
    }
    static void setHandle(OSMetaClassBase *object, nbdext_object *handle) { object->nbdextHandle = handle; }
    [[noreturn]] static void freedObject(const OSMetaClassBase *object);
};
inline nbdext_object *handleOf(const OSMetaClassBase *object) { return Runtime::handle(object); }

inline nbdext_skin *skinOf(OSMetaClassBase *object) { return reinterpret_cast<nbdext_skin *>(object); }
inline OSMetaClassBase *objectOf(nbdext_skin *skin) { return reinterpret_cast<OSMetaClassBase *>(skin); }

/// The object of a handle, made now if there is none yet. Null for null. Without another reference.
OSMetaClassBase *objectOf(nbdext_object *handle);
template <class T>
T *objectAs(nbdext_object *handle) { return OSDynamicCast(T, objectOf(handle)); }

/// Frees an object whose last reference has gone.
void endObject(OSMetaClassBase *object);

/// Makes an object whose handle the host makes with it: `make` gets the skin and room for the handle.
template <class T, class Make>
kern_return_t create(T **result, Make make) {
    if (!result) return kIOReturnBadArgument;
    *result = nullptr;
    T *object = static_cast<T *>(OSTypeID(T)->make());
    nbdext_object *handle = nullptr;
    const kern_return_t status = make(skinOf(object), &handle);
    if (status != kIOReturnSuccess) {
        delete static_cast<OSMetaClassBase *>(object);
        return status;
    }
    Runtime::setHandle(object, handle);
    *result = object;
    return kIOReturnSuccess;
}

// MARK: Classes and methods

/// The class of that name, or null.
const OSMetaClass *classNamed(const char *name);
/// A method's own name, static text; "a method" when it is not known.
const char *methodName(const OSMetaClass *type, uint64_t method);
/// FNV-1a of a name that is known only now.
uint64_t methodIDOf(const std::string &name);

// MARK: Blocks

/// A copy of a block for the host, which ends it by `end_block`; null for null.
nbdext_block *copyBlock(void (^block)(void));
inline nbdext_block *lendBlock(void (^block)(void)) { return (nbdext_block *)block; }

// MARK: Actions

/// Whether an action of the driver's takes calls of this type. If not, that is reported.
bool actionTakes(OSAction *action, uint64_t type);
/// Calls an action's method with two numbers.
void fireAction(OSAction *action, uint64_t first, uint64_t second);

// MARK: Reports

/// Reports a mistake of the driver.
void report(nbdext_dext_fault fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
/// Reports a call that nbdext does not have. Returns kIOReturnUnsupported.
kern_return_t unsupported(const char *call);

// MARK: Properties

std::string encode(const OSObject *value);
/// The object in these bytes, with a reference; null when they are malformed.
OSObject *decode(const uint8_t *bytes, size_t count);
/// Receives an encoded value: `context` is an OSObject **.
void decodeInto(void *context, const uint8_t *bytes, size_t count);
inline const uint8_t *bytesOf(const std::string &text) { return reinterpret_cast<const uint8_t *>(text.data()); }
/// Passes a dictionary or an array to the host, encoded: `call(bytes, count)`. Null is a bad argument.
template <class Call>
kern_return_t withEncoded(const OSObject *value, Call call) {
    if (!value) return kIOReturnBadArgument;
    const std::string bytes = encode(value);
    return call(bytesOf(bytes), bytes.size());
}

// MARK: Time

/// Nanoseconds as ticks of mach_absolute_time, and back.
uint64_t ticksOf(uint64_t nanoseconds);
uint64_t nanosecondsOf(uint64_t ticks);

/// Makes the objects for yes and no.
void makeBooleans();

}  // namespace nbdext

#endif
