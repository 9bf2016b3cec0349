// The root of all classes, and what the interface translator's code needs of it.
#ifndef NBDEXT_DRIVERKIT_OSMETACLASS_H
#define NBDEXT_DRIVERKIT_OSMETACLASS_H

#include <DriverKit/IOReturn.h>
#include <nbdext/CDextABI.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

class OSMetaClassBase;

/// A call on its way to the method that takes it.
struct IORPC {
    uint64_t id;               ///< of the method: FNV-1a of "Class::Method"
    void *const *arguments;    ///< the address of each argument
    void *result;              ///< room for the result; null where there is none
};
typedef struct IORPC IORPC;

typedef kern_return_t (*OSDispatchMethod)(OSMetaClassBase *self, const IORPC rpc);

namespace nbdext {
/// A method that QUEUENAME binds to a queue.
struct MethodQueue {
    uint64_t id;
    const char *queue;
};
/// A method's name, for reports.
struct MethodName {
    uint64_t id;
    const char *name;   ///< "Class::Method"
};
struct Runtime;
}

/// What is known of a class. There is one for each, a constant.
class OSMetaClass {
public:
    const char *name;
    const OSMetaClass *superClass;
    bool isOfKit;                 ///< whether it is one of nbdext's classes, and not of the driver's
    OSMetaClassBase *(*make)();   ///< null when the class is abstract
    const nbdext::MethodQueue *queues;
    const nbdext::MethodName *methods = nullptr;

    const char *getClassName() const { return name; }
    const OSMetaClass *getSuperClass() const { return superClass; }
    /// Whether an object of this class is one of `other` too.
    bool isKindOf(const OSMetaClass *other) const;
    const OSMetaClassBase *safeMetaCast(const OSMetaClassBase *object) const;
};

/// The root. An object is a thin skin over an object of nbdext, which has the reference count.
class OSMetaClassBase {
public:
    virtual ~OSMetaClassBase();
    OSMetaClassBase(const OSMetaClassBase &) = delete;
    OSMetaClassBase &operator=(const OSMetaClassBase &) = delete;

    virtual const OSMetaClass *getMetaClass() const;
    virtual void retain() const;
    /// Gives a reference back. With the last one the object is freed.
    virtual void release() const;
    virtual bool isEqualTo(const OSMetaClassBase *object) const;
    virtual kern_return_t Dispatch(const IORPC rpc);
    static kern_return_t _Dispatch(OSMetaClassBase *self, const IORPC rpc);

    /// The references that count now, for diagnosis.
    int getRetainCount() const;

    // Memory is zeroed, as on macOS.
    static void *operator new(size_t size);
    static void operator delete(void *memory);

    static const OSMetaClass gMetaClass;

protected:
    OSMetaClassBase();

private:
    friend struct nbdext::Runtime;
    nbdext_object *nbdextHandle;
};

#define OSTypeID(type) (&type::gMetaClass)
#define OSCheckTypeInst(type, object) ((type *)nbdext::cast(OSTypeID(type), (object)) != nullptr)
/// The object as `type`, or null when it is not one.
#define OSDynamicCast(type, object) ((type *)nbdext::cast(OSTypeID(type), (object)))
/// The object as `type`. Another class ends the process.
#define OSRequiredCast(type, object) ((type *)nbdext::requireCast(OSTypeID(type), (object)))
/// A new object of a class that is not a service, with one reference. `init` is the caller's to call.
#define OSTypeAlloc(type) ((type *)nbdext::alloc(OSTypeID(type)))

/// The last argument of a call to the base class's own method.
#define SUPERDISPATCH (&super::_Dispatch)

#define DEFN(classname, name) name##_Impl(classname##_##name##_Args)
/// Begins the definition of a remote method, with the parameters' names of the interface file.
#define IMPL(classname, name) classname::DEFN(classname, name)

namespace nbdext {
OSMetaClassBase *cast(const OSMetaClass *type, const OSMetaClassBase *object);
OSMetaClassBase *requireCast(const OSMetaClass *type, const OSMetaClassBase *object);
OSMetaClassBase *alloc(const OSMetaClass *type);
}

#endif
