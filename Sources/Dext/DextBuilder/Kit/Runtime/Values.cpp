// Texts, numbers, booleans, data.

#include "Runtime.h"

#include <DriverKit/OSBoolean.h>
#include <DriverKit/OSData.h>
#include <DriverKit/OSNumber.h>
#include <DriverKit/OSString.h>
#include <stdlib.h>

using namespace nbdext;

struct OSString_IVars {
    std::string text;
};
struct OSNumber_IVars {
    unsigned long long value;
    size_t bits;
};
struct OSBoolean_IVars {
    bool value;
};
struct OSData_IVars {
    std::string bytes;
};

bool OSContainer::isEqualTo(const OSMetaClassBase *object) const { return this == object; }

// MARK: OSString

OSStringPtr OSString::withCString(const char *cString, size_t length) {
    if (!cString) return nullptr;
    OSString *string = OSTypeAlloc(OSString);
    string->ivars = new OSString_IVars{std::string(cString, strnlen(cString, length))};
    return string;
}
OSStringPtr OSString::withCString(const char *cString) { return withCString(cString, SIZE_MAX); }
OSStringPtr OSString::withCStringNoCopy(const char *cString) { return withCString(cString); }
OSStringPtr OSString::withString(const OSString *aString) {
    return aString ? withCString(aString->getCStringNoCopy()) : nullptr;
}

void OSString::free() {
    delete ivars;
    super::free();
}

size_t OSString::getLength() const { return ivars->text.size(); }
const char *OSString::getCStringNoCopy() const { return ivars->text.c_str(); }

bool OSString::isEqualTo(const OSMetaClassBase *object) const {
    if (auto string = OSDynamicCast(OSString, object)) return isEqualTo(const_cast<const OSString *>(string));
    if (auto data = OSDynamicCast(OSData, object)) return isEqualTo(const_cast<const OSData *>(data));
    return false;
}
bool OSString::isEqualTo(const OSString *aString) const { return aString && ivars->text == aString->ivars->text; }
bool OSString::isEqualTo(const char *cString) const { return cString && ivars->text == cString; }
bool OSString::isEqualTo(const OSData *aDataObject) const { return aDataObject && aDataObject->isEqualTo(this); }

// MARK: OSNumber

namespace {

unsigned long long cut(unsigned long long value, size_t bits) {
    return bits >= 64 ? value : value & ((1ULL << bits) - 1);
}

}  // namespace

OSNumberPtr OSNumber::withNumber(unsigned long long value, size_t numberOfBits) {
    if (numberOfBits == 0 || numberOfBits > 64) return nullptr;
    OSNumber *number = OSTypeAlloc(OSNumber);
    number->ivars = new OSNumber_IVars{cut(value, numberOfBits), numberOfBits};
    return number;
}
OSNumberPtr OSNumber::withNumber(const char *valueString, size_t numberOfBits) {
    return valueString ? withNumber(strtoull(valueString, nullptr, 0), numberOfBits) : nullptr;
}

void OSNumber::free() {
    delete ivars;
    super::free();
}

size_t OSNumber::numberOfBits() const { return ivars->bits; }
size_t OSNumber::numberOfBytes() const { return (ivars->bits + 7) / 8; }
unsigned char OSNumber::unsigned8BitValue() const { return static_cast<unsigned char>(ivars->value); }
unsigned short OSNumber::unsigned16BitValue() const { return static_cast<unsigned short>(ivars->value); }
unsigned int OSNumber::unsigned32BitValue() const { return static_cast<unsigned int>(ivars->value); }
unsigned long long OSNumber::unsigned64BitValue() const { return ivars->value; }
void OSNumber::addValue(signed long long value) {
    ivars->value = cut(ivars->value + static_cast<unsigned long long>(value), ivars->bits);
}
void OSNumber::setValue(unsigned long long value) { ivars->value = cut(value, ivars->bits); }

bool OSNumber::isEqualTo(const OSMetaClassBase *object) const {
    const OSNumber *number = OSDynamicCast(OSNumber, object);
    return number && isEqualTo(number);
}
bool OSNumber::isEqualTo(const OSNumber *aNumber) const { return aNumber && ivars->value == aNumber->ivars->value; }

// MARK: OSBoolean

namespace {

OSBooleanPtr yes;
OSBooleanPtr no;

}  // namespace

OSBooleanPtr const &kOSBooleanTrue = yes;
OSBooleanPtr const &kOSBooleanFalse = no;

void nbdext::makeBooleans() {
    yes = OSTypeAlloc(OSBoolean);
    no = OSTypeAlloc(OSBoolean);
    yes->ivars = new OSBoolean_IVars{true};
    no->ivars = new OSBoolean_IVars{false};
}

OSBooleanPtr OSBoolean::withBoolean(bool value) { return value ? yes : no; }
void OSBoolean::retain() const {}
void OSBoolean::release() const {}
bool OSBoolean::isTrue() const { return ivars->value; }
bool OSBoolean::isFalse() const { return !ivars->value; }
bool OSBoolean::getValue() const { return ivars->value; }
bool OSBoolean::isEqualTo(const OSMetaClassBase *object) const { return this == object; }
bool OSBoolean::isEqualTo(const OSBoolean *aBoolean) const { return this == aBoolean; }

// MARK: OSData

OSDataPtr OSData::withBytes(const void *bytes, size_t numBytes) {
    if (!bytes && numBytes) return nullptr;
    OSData *data = OSTypeAlloc(OSData);
    data->ivars = new OSData_IVars{std::string(static_cast<const char *>(bytes), numBytes)};
    return data;
}
OSDataPtr OSData::withBytesNoCopy(void *bytes, size_t numBytes) { return withBytes(bytes, numBytes); }
OSDataPtr OSData::withCapacity(uint32_t capacity) {
    OSData *data = withBytes("", 0);
    data->ivars->bytes.reserve(capacity);
    return data;
}
OSDataPtr OSData::withData(const OSData *inData) {
    return inData ? withBytes(inData->ivars->bytes.data(), inData->getLength()) : nullptr;
}
OSDataPtr OSData::withData(const OSData *inData, size_t start, size_t numBytes) {
    const void *bytes = inData ? inData->getBytesNoCopy(start, numBytes) : nullptr;
    return bytes ? withBytes(bytes, numBytes) : nullptr;
}

void OSData::free() {
    delete ivars;
    super::free();
}

size_t OSData::getLength() const { return ivars->bytes.size(); }
size_t OSData::getCapacity() const { return ivars->bytes.capacity(); }
bool OSData::appendBytes(const void *bytes, size_t numBytes) {
    if (!bytes && numBytes) return false;
    ivars->bytes.append(static_cast<const char *>(bytes), numBytes);
    return true;
}
bool OSData::appendBytes(const OSData *aDataObj) {
    if (aDataObj) ivars->bytes += aDataObj->ivars->bytes;
    return aDataObj != nullptr;
}
const void *OSData::getBytesNoCopy() const { return ivars->bytes.empty() ? nullptr : ivars->bytes.data(); }
const void *OSData::getBytesNoCopy(size_t start, size_t numBytes) const {
    const size_t length = getLength();
    if (start >= length || numBytes > length - start) return nullptr;
    return ivars->bytes.data() + start;
}

bool OSData::isEqualTo(const OSMetaClassBase *object) const {
    if (auto data = OSDynamicCast(OSData, object)) return isEqualTo(const_cast<const OSData *>(data));
    if (auto string = OSDynamicCast(OSString, object)) return isEqualTo(const_cast<const OSString *>(string));
    return false;
}
bool OSData::isEqualTo(const OSData *aDataObj) const { return aDataObj && ivars->bytes == aDataObj->ivars->bytes; }
bool OSData::isEqualTo(const void *bytes, size_t numBytes) const {
    return getLength() == numBytes && memcmp(ivars->bytes.data(), bytes, numBytes) == 0;
}
bool OSData::isEqualTo(const OSString *aString) const {
    if (!aString) return false;
    const char *text = aString->getCStringNoCopy();
    const size_t length = aString->getLength();
    return isEqualTo(text, length) || isEqualTo(text, length + 1);
}
