// Arrays and dictionaries.

#include "Runtime.h"

#include <DriverKit/IOLib.h>
#include <DriverKit/OSArray.h>
#include <DriverKit/OSDictionary.h>
#include <DriverKit/OSNumber.h>
#include <DriverKit/OSString.h>

using namespace nbdext;

struct OSArray_IVars {
    std::vector<OSObject *> members;
};
struct OSDictionary_IVars {
    struct Entry {
        OSObject *key;
        OSObject *value;
    };
    std::vector<Entry> entries;

    const Entry *find(const char *key) const {
        for (const Entry &entry : entries) {
            auto name = OSDynamicCast(OSString, entry.key);
            if (name && strcmp(name->getCStringNoCopy(), key) == 0) return &entry;
        }
        return nullptr;
    }
    const Entry *find(const OSObject *key) const {
        for (const Entry &entry : entries) {
            if (entry.key->isEqualTo(key)) return &entry;
        }
        return nullptr;
    }
};

namespace {

OSObject *mutableObject(const OSMetaClassBase *object) {
    return static_cast<OSObject *>(const_cast<OSMetaClassBase *>(object));
}

}  // namespace

// MARK: OSCollection

uint32_t OSCollection::getCount() const { return 0; }
uint32_t OSCollection::getCapacity() const { return 0; }
uint32_t OSCollection::ensureCapacity(uint32_t) { return getCapacity(); }
void OSCollection::flushCollection() {}
bool OSCollection::iterateObjects(OSCollectionIterateObjectsBlock) const { return true; }
bool OSCollection::iterateObjects(void *reference, OSCollectionIterateObjectsCallback callback) const {
    return iterateObjects(^bool(OSObject *object) { return callback(reference, object); });
}

// MARK: OSArray

OSArrayPtr OSArray::withCapacity(uint32_t capacity) {
    OSArray *array = OSTypeAlloc(OSArray);
    array->ivars = new OSArray_IVars;
    array->ivars->members.reserve(capacity);
    return array;
}
OSArrayPtr OSArray::withObjects(const OSObject **values, uint32_t count, uint32_t capacity) {
    OSArray *array = withCapacity(capacity);
    for (uint32_t index = 0; index < count; ++index) array->setObject(values[index]);
    return array;
}
OSArrayPtr OSArray::withArray(const OSArray *other, uint32_t capacity) {
    OSArray *array = withCapacity(capacity);
    array->merge(other);
    return array;
}

void OSArray::free() {
    flushCollection();
    delete ivars;
    super::free();
}

uint32_t OSArray::getCount() const { return static_cast<uint32_t>(ivars->members.size()); }
uint32_t OSArray::getCapacity() const { return static_cast<uint32_t>(ivars->members.capacity()); }
uint32_t OSArray::ensureCapacity(uint32_t newCapacity) {
    ivars->members.reserve(newCapacity);
    return getCapacity();
}
void OSArray::flushCollection() {
    for (OSObject *member : ivars->members) member->release();
    ivars->members.clear();
}
bool OSArray::iterateObjects(OSCollectionIterateObjectsBlock block) const {
    for (OSObject *member : ivars->members) {
        if (!block(member)) return false;
    }
    return true;
}

bool OSArray::setObject(const OSMetaClassBase *object) { return setObject(getCount(), object); }
bool OSArray::setObject(uint32_t index, const OSMetaClassBase *object) {
    if (!object || index > getCount()) return false;
    object->retain();
    ivars->members.insert(ivars->members.begin() + index, mutableObject(object));
    return true;
}
bool OSArray::merge(const OSArray *otherArray) {
    if (!otherArray) return false;
    for (OSObject *member : otherArray->ivars->members) setObject(member);
    return true;
}
bool OSArray::replaceObject(uint32_t index, const OSMetaClassBase *object) {
    if (!object || index >= getCount()) return false;
    object->retain();
    OSObject *last = ivars->members[index];
    ivars->members[index] = mutableObject(object);
    last->release();
    return true;
}
void OSArray::removeObject(uint32_t index) {
    if (index >= getCount()) return;
    OSObject *last = ivars->members[index];
    ivars->members.erase(ivars->members.begin() + index);
    last->release();
}
OSObject *OSArray::getObject(uint32_t index) const { return index < getCount() ? ivars->members[index] : nullptr; }
OSObject *OSArray::getLastObject() const { return getCount() ? ivars->members.back() : nullptr; }
uint32_t OSArray::getNextIndexOfObject(const OSMetaClassBase *object, uint32_t index) const {
    for (; index < getCount(); ++index) {
        if (ivars->members[index] == object) return index;
    }
    return -1U;
}

bool OSArray::isEqualTo(const OSMetaClassBase *object) const {
    const OSArray *array = OSDynamicCast(OSArray, object);
    return array && isEqualTo(array);
}
bool OSArray::isEqualTo(const OSArray *anArray) const {
    if (!anArray || getCount() != anArray->getCount()) return false;
    for (uint32_t index = 0; index < getCount(); ++index) {
        if (!getObject(index)->isEqualTo(anArray->getObject(index))) return false;
    }
    return true;
}

// MARK: OSDictionary

OSDictionaryPtr OSDictionary::withCapacity(uint32_t capacity) {
    OSDictionary *dictionary = OSTypeAlloc(OSDictionary);
    dictionary->ivars = new OSDictionary_IVars;
    dictionary->ivars->entries.reserve(capacity);
    return dictionary;
}
OSDictionaryPtr OSDictionary::withObjects(
    const OSObject **values, const OSObject **keys, uint32_t count, uint32_t capacity) {
    OSDictionary *dictionary = withCapacity(capacity);
    for (uint32_t index = 0; index < count; ++index) dictionary->setObject(keys[index], values[index]);
    return dictionary;
}
OSDictionaryPtr OSDictionary::withDictionary(const OSDictionary *other, uint32_t capacity) {
    OSDictionary *dictionary = withCapacity(capacity);
    dictionary->merge(other);
    return dictionary;
}

void OSDictionary::free() {
    flushCollection();
    delete ivars;
    super::free();
}

uint32_t OSDictionary::getCount() const { return static_cast<uint32_t>(ivars->entries.size()); }
uint32_t OSDictionary::getCapacity() const { return static_cast<uint32_t>(ivars->entries.capacity()); }
uint32_t OSDictionary::ensureCapacity(uint32_t newCapacity) {
    ivars->entries.reserve(newCapacity);
    return getCapacity();
}
void OSDictionary::flushCollection() {
    for (const auto &entry : ivars->entries) {
        entry.key->release();
        entry.value->release();
    }
    ivars->entries.clear();
}
bool OSDictionary::iterateObjects(OSCollectionIterateObjectsBlock block) const {
    return iterateObjects(^bool(OSObject *key, OSObject *) { return block(key); });
}
bool OSDictionary::iterateObjects(OSDictionaryIterateObjectsBlock block) const {
    for (const auto &entry : ivars->entries) {
        if (!block(entry.key, entry.value)) return false;
    }
    return true;
}
bool OSDictionary::iterateObjects(void *reference, OSDictionaryIterateObjectsCallback callback) const {
    return iterateObjects(^bool(OSObject *key, OSObject *value) { return callback(reference, key, value); });
}

bool OSDictionary::setObject(const OSObject *aKey, const OSMetaClassBase *object) {
    if (!aKey || !object) return false;
    object->retain();
    if (const auto *entry = ivars->find(aKey)) {
        OSObject *last = entry->value;
        const_cast<OSDictionary_IVars::Entry *>(entry)->value = mutableObject(object);
        last->release();
        return true;
    }
    aKey->retain();
    ivars->entries.push_back({mutableObject(aKey), mutableObject(object)});
    return true;
}
bool OSDictionary::setObject(const char *aKey, const OSMetaClassBase *object) {
    OSString *key = OSString::withCString(aKey);
    const bool result = setObject(key, object);
    OSSafeReleaseNULL(key);
    return result;
}
void OSDictionary::removeObject(const OSObject *aKey) {
    const auto *found = aKey ? ivars->find(aKey) : nullptr;
    if (!found) return;
    const auto entry = *found;
    ivars->entries.erase(ivars->entries.begin() + (found - ivars->entries.data()));
    entry.key->release();
    entry.value->release();
}
void OSDictionary::removeObject(const char *aKey) {
    OSString *key = OSString::withCString(aKey);
    removeObject(key);
    OSSafeReleaseNULL(key);
}
bool OSDictionary::merge(const OSDictionary *otherDictionary) {
    if (!otherDictionary) return false;
    for (const auto &entry : otherDictionary->ivars->entries) setObject(entry.key, entry.value);
    return true;
}
OSObject *OSDictionary::getObject(const OSObject *aKey) const {
    const auto *entry = aKey ? ivars->find(aKey) : nullptr;
    return entry ? entry->value : nullptr;
}
OSObject *OSDictionary::getObject(const char *aKey) const {
    const auto *entry = aKey ? ivars->find(aKey) : nullptr;
    return entry ? entry->value : nullptr;
}

bool OSDictionary::isEqualTo(const OSMetaClassBase *object) const {
    const OSDictionary *dictionary = OSDynamicCast(OSDictionary, object);
    return dictionary && isEqualTo(dictionary);
}
bool OSDictionary::isEqualTo(const OSDictionary *aDictionary) const {
    return aDictionary && getCount() == aDictionary->getCount() && isEqualTo(aDictionary, this);
}
bool OSDictionary::isEqualTo(const OSDictionary *aDictionary, const OSCollection *keys) const {
    if (!aDictionary || !keys) return false;
    return keys->iterateObjects(^bool(OSObject *key) {
        OSObject *own = getObject(key);
        OSObject *other = aDictionary->getObject(key);
        return own && other && own->isEqualTo(other);
    });
}

// MARK: Short ways

bool OSDictionarySetUInt64Value(OSDictionary *dictionary, const char *key, uint64_t value) {
    OSNumber *number = OSNumber::withNumber(value, 64);
    const bool result = OSDictionarySetValue(dictionary, key, number);
    number->release();
    return result;
}
bool OSDictionarySetStringValue(OSDictionary *dictionary, const char *key, const char *value) {
    OSString *string = OSString::withCString(value);
    const bool result = OSDictionarySetValue(dictionary, key, string);
    OSSafeReleaseNULL(string);
    return result;
}
bool OSDictionarySetValue(OSDictionary *dictionary, const char *key, OSObject *value) {
    return dictionary && dictionary->setObject(key, value);
}
uint64_t OSDictionaryGetUInt64Value(const OSDictionary *dictionary, const char *key) {
    auto number = OSDynamicCast(OSNumber, OSDictionaryGetValue(dictionary, key));
    return number ? number->unsigned64BitValue() : 0;
}
const char *OSDictionaryGetStringValue(const OSDictionary *dictionary, const char *key) {
    auto string = OSDynamicCast(OSString, OSDictionaryGetValue(dictionary, key));
    return string ? string->getCStringNoCopy() : nullptr;
}
OSObject *OSDictionaryGetValue(const OSDictionary *dictionary, const char *key) {
    return dictionary ? dictionary->getObject(key) : nullptr;
}
