// Pointers that hold a reference.
#ifndef NBDEXT_DRIVERKIT_OSSHAREDPTR_H
#define NBDEXT_DRIVERKIT_OSSHAREDPTR_H

#include <DriverKit/OSMetaClass.h>
#include <stddef.h>
#include <type_traits>

struct OSNoRetainTag {};
struct OSRetainTag {};
/// The pointer takes a reference over.
inline constexpr OSNoRetainTag OSNoRetain{};
/// The pointer takes one more reference.
inline constexpr OSRetainTag OSRetain{};

template <class T>
class OSSharedPtr {
public:
    using element_type = T;

    constexpr OSSharedPtr() = default;
    constexpr OSSharedPtr(decltype(nullptr)) {}
    OSSharedPtr(T *object, OSNoRetainTag) : object(object) {}
    OSSharedPtr(T *object, OSRetainTag) : object(object) { hold(); }
    OSSharedPtr(const OSSharedPtr &other) : object(other.object) { hold(); }
    OSSharedPtr(OSSharedPtr &&other) noexcept : object(other.detach()) {}
    template <class U>
        requires std::is_convertible_v<U *, T *>
    OSSharedPtr(const OSSharedPtr<U> &other) : object(other.get()) { hold(); }
    template <class U>
        requires std::is_convertible_v<U *, T *>
    OSSharedPtr(OSSharedPtr<U> &&other) noexcept : object(other.detach()) {}
    ~OSSharedPtr() { drop(); }

    OSSharedPtr &operator=(const OSSharedPtr &other) {
        reset(other.object, OSRetain);
        return *this;
    }
    OSSharedPtr &operator=(OSSharedPtr &&other) noexcept {
        if (this != &other) reset(other.detach(), OSNoRetain);
        return *this;
    }
    template <class U>
        requires std::is_convertible_v<U *, T *>
    OSSharedPtr &operator=(const OSSharedPtr<U> &other) {
        reset(other.get(), OSRetain);
        return *this;
    }
    template <class U>
        requires std::is_convertible_v<U *, T *>
    OSSharedPtr &operator=(OSSharedPtr<U> &&other) noexcept {
        reset(other.detach(), OSNoRetain);
        return *this;
    }
    OSSharedPtr &operator=(decltype(nullptr)) {
        reset();
        return *this;
    }

    void reset() { reset(nullptr, OSNoRetain); }
    void reset(T *next, OSNoRetainTag) {
        T *last = object;
        object = next;
        if (last) last->release();
    }
    void reset(T *next, OSRetainTag) {
        if (next) next->retain();
        reset(next, OSNoRetain);
    }

    T *get() const { return object; }
    T *operator->() const { return object; }
    T &operator*() const { return *object; }
    explicit operator bool() const { return object != nullptr; }
    /// The object with the pointer's reference, which the caller has now.
    T *detach() {
        T *last = object;
        object = nullptr;
        return last;
    }
    /// Where a function may store an object with a reference.
    T **attach() {
        reset();
        return &object;
    }
    void swap(OSSharedPtr &other) {
        T *last = object;
        object = other.object;
        other.object = last;
    }

private:
    T *object = nullptr;

    void hold() const {
        if (object) object->retain();
    }
    void drop() const {
        if (object) object->release();
    }
};

template <class T, class U>
bool operator==(const OSSharedPtr<T> &a, const OSSharedPtr<U> &b) { return a.get() == b.get(); }
template <class T, class U>
bool operator==(const OSSharedPtr<T> &a, const U *b) { return a.get() == b; }
template <class T>
bool operator==(const OSSharedPtr<T> &a, decltype(nullptr)) { return a.get() == nullptr; }

template <class T>
OSSharedPtr<T> OSMakeShared() { return OSSharedPtr<T>(OSTypeAlloc(T), OSNoRetain); }
/// The object as another class, with a reference; null when it is not one.
template <class To, class From>
OSSharedPtr<To> OSDynamicPtrCast(const OSSharedPtr<From> &from) {
    return OSSharedPtr<To>(OSDynamicCast(To, from.get()), OSRetain);
}
template <class To, class From>
OSSharedPtr<To> OSDynamicPtrCast(OSSharedPtr<From> &&from) {
    To *object = OSDynamicCast(To, from.get());
    if (!object) return nullptr;
    from.detach();
    return OSSharedPtr<To>(object, OSNoRetain);
}
template <class To, class From>
OSSharedPtr<To> OSStaticPtrCast(const OSSharedPtr<From> &from) {
    return OSSharedPtr<To>(static_cast<To *>(from.get()), OSRetain);
}

#endif
