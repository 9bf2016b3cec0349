// What the code of the interface translator is made of. A driver does not include this by hand.
//
// A call packs the addresses of its arguments (IORPC), and the class's _Dispatch finds the method by its ID and unpacks
// them. No memory is allocated, except for calls of `void` methods that have to wait for another queue.

#ifndef NBDEXT_GENERATED_H
#define NBDEXT_GENERATED_H

#include <DriverKit/OSMetaClass.h>
#include <type_traits>

class OSAction;

/// Begins a class. `C` is the class, `B` its base.
#define NBDEXT_CLASS_BODY(C, B)                                                                     \
public:                                                                                             \
    using super = B;                                                                                \
    union {                                                                                         \
        C##_IVars *ivars;                                                                           \
        C##_LocalIVars *lvars;                                                                      \
    };                                                                                              \
    static const OSMetaClass gMetaClass;                                                            \
    const OSMetaClass *getMetaClass() const override;                                               \
    kern_return_t Dispatch(const IORPC rpc) override;                                               \
    static kern_return_t _Dispatch(OSMetaClassBase *self, const IORPC rpc);                         \
                                                                                                    \
protected:                                                                                          \
    C() : ivars(nullptr) {}                                                                         \
    static OSMetaClassBase *nbdextMake();

/// Defines what NBDEXT_CLASS_BODY has declared, except for _Dispatch. `QUEUES` ends with {0, nullptr}, and so does a
/// list of names that may follow it.
#define NBDEXT_CLASS_DEFINITION(C, B, QUEUES, ...)                                                  \
    OSMetaClassBase *C::nbdextMake() { return new C; }                                              \
    NBDEXT_METACLASS(C, B, &C::nbdextMake, QUEUES, ##__VA_ARGS__)

/// The same for a class that cannot have objects.
#define NBDEXT_ABSTRACT_CLASS_DEFINITION(C, B, QUEUES, ...)                                         \
    OSMetaClassBase *C::nbdextMake() { return nullptr; }                                            \
    NBDEXT_METACLASS(C, B, nullptr, QUEUES, ##__VA_ARGS__)

// The list of all classes is a section of the library, so that nothing has to run when the library is loaded.
#define NBDEXT_METACLASS(C, B, MAKE, ...)                                                           \
    constinit const OSMetaClass C::gMetaClass = {                                                   \
        #C, &B::gMetaClass, nbdext::isKit<C>, MAKE, __VA_ARGS__};                                   \
    __attribute__((used, retain, section("nbdext_classes"))) static const OSMetaClass *const        \
        C##_nbdextClass = &C::gMetaClass;                                                           \
    const OSMetaClass *C::getMetaClass() const { return &C::gMetaClass; }                           \
    kern_return_t C::Dispatch(const IORPC rpc) { return C::_Dispatch(this, rpc); }

namespace nbdext {

/// The types of a method's result and parameters. Arrays keep their length, which a function type would lose.
template <class R, class... P>
struct Signature {
    using Result = R;
    using Function = R(P...);
};

// MARK: Delivery

template <class... T>
struct Types {};
template <size_t... I>
struct Indices {};
#if __has_builtin(__make_integer_seq)
template <class T, T... I>
struct IndexList {
    using type = Indices<I...>;
};
template <size_t N>
using IndicesUpTo = typename __make_integer_seq<IndexList, size_t, N>::type;
#else
#error "This compiler is too old for the kit: it has no __make_integer_seq."
#endif

template <class P>
using Parameter = std::remove_cv_t<std::decay_t<P>>;

/// The argument at its address, as the method wants it. Structures are copied here, once.
template <class P>
Parameter<P> &argument(void *address) { return *static_cast<Parameter<P> *>(address); }

template <class C, class M, class R, class... P, size_t... I>
kern_return_t unpack(C *self, M method, const IORPC &rpc, Signature<R, P...> *, Indices<I...>) {
    if constexpr (std::is_void_v<R>) {
        (self->*method)(argument<P>(rpc.arguments[I])...);
    } else {
        *static_cast<R *>(rpc.result) = (self->*method)(argument<P>(rpc.arguments[I])...);
    }
    return kIOReturnSuccess;
}

template <class S, class C, class M>
struct IsMethodOf : std::false_type {};
template <class R, class... P, class C>
struct IsMethodOf<Signature<R, P...>, C, R (C::*)(Parameter<P>...)> : std::true_type {};
template <class R, class... P, class C>
struct IsMethodOf<Signature<R, P...>, C, R (C::*)(Parameter<P>...) const> : std::true_type {};

/// Calls a method with the arguments of a message.
template <class S, class C, class M>
kern_return_t deliver(C *self, M method, const IORPC &rpc) {
    static_assert(
        IsMethodOf<S, C, M>::value, "the parameters differ from those of the class that declared the method first");
    return [&]<class R, class... P>(Signature<R, P...> *signature) {
        return unpack(self, method, rpc, signature, IndicesUpTo<sizeof...(P)>{});
    }(static_cast<S *>(nullptr));
}

// MARK: Calls

/// Whether nbdext itself implements a method that the class declares. A call of such a method stays on its thread. The
/// driver's own methods run on their queues.
template <class C>
inline constexpr bool isKit = false;
/// Whether a method of a class of the kit is a driver's to implement, as Start is.
bool isDriverMethod(uint64_t method);

/// Delivers a call that waits for its result, on the queue of the method.
kern_return_t callAndWait(OSMetaClassBase *self, const IORPC &rpc);
/// The handle of the queue on which the method has to be called from here. Null when it can be called at once, or
/// never. If never, that was reported and `*impossible` is true.
nbdext_object *queueFor(OSMetaClassBase *self, uint64_t method, bool *impossible);

/// A call that waits for its queue: copies of its arguments, and references to its objects. It counts the blocks that
/// hold it.
struct Message {
    OSMetaClassBase *target;
    uint64_t id;
    void *const *arguments;
    unsigned references;
    void (*end)(Message *);
};
void send(nbdext_object *queue, Message *message);
void retainObject(const OSMetaClassBase *object);
void releaseObject(const OSMetaClassBase *object);

/// A copy of one argument.
template <class P>
struct Stored {
    Parameter<P> value;
    static constexpr bool isObject =
        std::is_pointer_v<Parameter<P>> && std::is_base_of_v<OSMetaClassBase, std::remove_pointer_t<Parameter<P>>>;

    explicit Stored(const Parameter<P> &argument) : value(argument) {
        if constexpr (isObject) retainObject(value);
    }
    ~Stored() {
        if constexpr (isObject) releaseObject(value);
    }
    void *address() { return &value; }
};
/// A copy of an array.
template <class P>
    requires std::is_bounded_array_v<std::remove_reference_t<P>>
struct Stored<P> {
    using Element = std::remove_cv_t<std::remove_extent_t<P>>;
    Element values[std::extent_v<P>];
    Element *pointer = values;

    explicit Stored(const Element *argument) {
        if (!argument) {
            pointer = nullptr;
        } else if constexpr (std::is_same_v<Element, char>) {
            // A text may be shorter than its room.
            strncpy(values, argument, sizeof values - 1);
            values[sizeof values - 1] = 0;
        } else {
            memcpy(values, argument, sizeof values);
        }
    }
    void *address() { return &pointer; }
};

template <class... P>
struct Arguments;
template <>
struct Arguments<> {
    void fill(void **) {}
};
template <class First, class... Rest>
struct Arguments<First, Rest...> {
    Stored<First> first;
    Arguments<Rest...> rest;

    explicit Arguments(const Parameter<First> &argument, const Parameter<Rest> &...others)
        : first(argument), rest(others...) {}
    void fill(void **addresses) {
        *addresses = first.address();
        rest.fill(addresses + 1);
    }
};

template <class... P>
struct MessageOf : Message {
    Arguments<P...> stored;
    void *addresses[sizeof...(P) + 1];

    MessageOf(OSMetaClassBase *receiver, uint64_t method, const Parameter<P> &...values) : stored(values...) {
        target = receiver;
        id = method;
        arguments = addresses;
        references = 1;
        end = [](Message *message) { delete static_cast<MessageOf *>(message); };
        stored.fill(addresses);
        retainObject(receiver);
    }
    ~MessageOf() { releaseObject(target); }
};

template <class T>
void *addressOf(const T &value) { return const_cast<void *>(static_cast<const volatile void *>(&value)); }

/// Calls a method of `target`: at once if the calling thread runs the method's queue. Else a method with a result is
/// waited for, and a `void` one runs later.
template <class R, class... P>
R call(OSMetaClassBase *target, uint64_t id, OSDispatchMethod supermethod, bool atOnce, Signature<R, P...> *,
       const Parameter<P> &...values) {
    void *const arguments[sizeof...(P) + 1] = {addressOf(values)..., nullptr};
    if constexpr (std::is_void_v<R>) {
        const IORPC rpc = {id, arguments, nullptr};
        bool impossible = false;
        if (supermethod) {
            supermethod(target, rpc);
        } else if (nbdext_object *queue = atOnce ? nullptr : queueFor(target, id, &impossible)) {
            send(queue, new MessageOf<P...>(target, id, values...));
        } else if (!impossible) {
            target->Dispatch(rpc);
        }
    } else {
        R result{};
        const IORPC rpc = {id, arguments, &result};
        const kern_return_t status = supermethod ? supermethod(target, rpc)
                                     : atOnce    ? target->Dispatch(rpc)
                                                 : callAndWait(target, rpc);
        if constexpr (std::is_same_v<R, kern_return_t>) {
            if (status != kIOReturnSuccess) return status;
        }
        return result;
    }
}

/// The body of a caller.
template <class S, class C, class... V>
typename S::Result invoke(C *self, uint64_t id, OSDispatchMethod supermethod, const V &...values) {
    return call(self, id, supermethod, isKit<C> && !isDriverMethod(id), static_cast<S *>(nullptr), values...);
}

/// The object that an action's calls go to, and its method. Null for an action of the kernel's.
OSMetaClassBase *targetOf(OSAction *action, uint64_t type, uint64_t *method, bool *impossible);
/// Calls the kernel with one of its own actions.
void completeForKernel(OSMetaClassBase *self, OSAction *action, const IORPC &rpc);

/// The body of a caller whose parameter `action` is marked TARGET: the action's target gets the call.
template <class S, class C, class... V>
typename S::Result invokeTarget(
    C *self, OSAction *action, uint64_t id, OSDispatchMethod supermethod, const V &...values) {
    if (supermethod) return call(self, id, supermethod, true, static_cast<S *>(nullptr), values...);
    uint64_t method = 0;
    bool impossible = false;
    if (OSMetaClassBase *target = targetOf(action, id, &method, &impossible)) {
        return call(target, method, nullptr, false, static_cast<S *>(nullptr), values...);
    }
    if constexpr (std::is_void_v<typename S::Result>) {
        if (impossible) return;
        void *const arguments[] = {addressOf(values)..., nullptr};
        completeForKernel(self, action, IORPC{id, arguments, nullptr});
    } else {
        return {};
    }
}

/// The body of CreateAction...: an action that calls `method` of `target`, for calls of the type `type`.
kern_return_t createAction(
    OSMetaClassBase *target, uint64_t method, uint64_t type, size_t referenceSize, OSAction **action);

/// FNV-1a of a method's name, "Class::Method".
consteval uint64_t methodID(const char *name) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (; *name; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 0x100000001b3ULL;
    return hash;
}

}  // namespace nbdext

#define NBDEXT_KIT_CLASS(C) \
    class C;                \
    template <>             \
    inline constexpr bool nbdext::isKit<C> = true;
NBDEXT_KIT_CLASS(OSObject)
NBDEXT_KIT_CLASS(OSContainer)
NBDEXT_KIT_CLASS(OSCollection)
NBDEXT_KIT_CLASS(OSString)
NBDEXT_KIT_CLASS(OSNumber)
NBDEXT_KIT_CLASS(OSBoolean)
NBDEXT_KIT_CLASS(OSData)
NBDEXT_KIT_CLASS(OSArray)
NBDEXT_KIT_CLASS(OSDictionary)
NBDEXT_KIT_CLASS(OSAction)
NBDEXT_KIT_CLASS(IOService)
NBDEXT_KIT_CLASS(IODispatchQueue)
NBDEXT_KIT_CLASS(IODispatchSource)
NBDEXT_KIT_CLASS(IOInterruptDispatchSource)
NBDEXT_KIT_CLASS(IOTimerDispatchSource)
NBDEXT_KIT_CLASS(IOMemoryDescriptor)
NBDEXT_KIT_CLASS(IOBufferMemoryDescriptor)
NBDEXT_KIT_CLASS(IOMemoryMap)
NBDEXT_KIT_CLASS(IODMACommand)
NBDEXT_KIT_CLASS(IOUserClient)
NBDEXT_KIT_CLASS(IOPCIDevice)
NBDEXT_KIT_CLASS(IOUserSCSIParallelInterfaceController)
#undef NBDEXT_KIT_CLASS

#endif
