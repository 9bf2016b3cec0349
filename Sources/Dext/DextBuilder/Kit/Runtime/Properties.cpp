// Property values as bytes. The format is in CDextABI.h.

#include "Runtime.h"

#include <DriverKit/OSArray.h>
#include <DriverKit/OSBoolean.h>
#include <DriverKit/OSData.h>
#include <DriverKit/OSNumber.h>
#include <DriverKit/OSString.h>

using namespace nbdext;

namespace {

constexpr int depthMax = 8;
constexpr uint32_t countMax = 4096;

// MARK: Writing

template <class Integer>
void append(std::string &bytes, Integer value) {
    for (size_t index = 0; index < sizeof value; ++index) bytes += static_cast<char>(value >> (8 * index));
}

void append(std::string &bytes, const void *content, size_t count) {
    append(bytes, static_cast<uint32_t>(count));
    bytes.append(static_cast<const char *>(content), count);
}

void append(std::string &bytes, const OSObject *value, int depth);

/// A key: its length and text. Keys of other classes than OSString cannot cross.
bool appendKey(std::string &bytes, const OSObject *key) {
    const OSString *name = OSDynamicCast(OSString, key);
    if (name) append(bytes, name->getCStringNoCopy(), name->getLength());
    return name != nullptr;
}

void append(std::string &bytes, const OSDictionary *dictionary, int depth) {
    __block std::string members;
    __block uint32_t count = 0;
    dictionary->iterateObjects(^bool(OSObject *key, OSObject *value) {
        if (!appendKey(members, key)) return true;
        append(members, value, depth + 1);
        ++count;
        return true;
    });
    bytes += 'd';
    append(bytes, count);
    bytes += members;
}

void append(std::string &bytes, const OSObject *value, int depth) {
    if (depth >= depthMax) {
        report(NBDEXT_FAULT_BAD_ARGUMENT, "a property is nested more than %d deep", depthMax);
        bytes += "b";
        bytes += '\0';
    } else if (const OSNumber *number = OSDynamicCast(OSNumber, value)) {
        bytes += number->numberOfBits() == 64 ? 'n' : 'N';
        if (number->numberOfBits() != 64) bytes += static_cast<char>(number->numberOfBits());
        append(bytes, number->unsigned64BitValue());
    } else if (const OSBoolean *boolean = OSDynamicCast(OSBoolean, value)) {
        bytes += 'b';
        bytes += static_cast<char>(boolean->isTrue());
    } else if (const OSString *string = OSDynamicCast(OSString, value)) {
        bytes += 's';
        append(bytes, string->getCStringNoCopy(), string->getLength());
    } else if (const OSData *data = OSDynamicCast(OSData, value)) {
        bytes += 'x';
        append(bytes, data->getBytesNoCopy(), data->getLength());
    } else if (const OSArray *array = OSDynamicCast(OSArray, value)) {
        bytes += 'a';
        append(bytes, array->getCount());
        for (uint32_t index = 0; index < array->getCount(); ++index) append(bytes, array->getObject(index), depth + 1);
    } else if (const OSDictionary *dictionary = OSDynamicCast(OSDictionary, value)) {
        append(bytes, dictionary, depth);
    } else {
        report(
            NBDEXT_FAULT_BAD_ARGUMENT, "a %s is no property value; use OSNumber, OSString, OSBoolean, OSData, OSArray "
            "or OSDictionary", value->getMetaClass()->name);
        bytes += "b";
        bytes += '\0';
    }
}

// MARK: Reading

struct Reader {
    const uint8_t *next;
    const uint8_t *end;
    bool failed = false;

    const uint8_t *take(size_t count) {
        if (failed || count > static_cast<size_t>(end - next)) {
            failed = true;
            return nullptr;
        }
        const uint8_t *bytes = next;
        next += count;
        return bytes;
    }

    uint64_t integer(size_t count) {
        const uint8_t *bytes = take(count);
        uint64_t value = 0;
        for (size_t index = 0; bytes && index < count; ++index) {
            value |= static_cast<uint64_t>(bytes[index]) << (8 * index);
        }
        return value;
    }

    OSString *text() {
        const auto count = static_cast<size_t>(integer(4));
        const uint8_t *bytes = take(count);
        return bytes ? OSString::withCString(reinterpret_cast<const char *>(bytes), count) : nullptr;
    }

    OSObject *value(int depth) {
        const uint8_t *letter = depth < depthMax ? take(1) : nullptr;
        switch (letter ? *letter : 0) {
        case 'n': return number(64);
        case 'N': return number(static_cast<size_t>(integer(1)));
        case 'b': return OSBoolean::withBoolean(integer(1) != 0);
        case 's': return text();
        case 'x': return data();
        case 'a': return array(depth);
        case 'd': return dictionary(depth);
        default: failed = true; return nullptr;
        }
    }

    OSObject *number(size_t bits) {
        OSNumber *number = OSNumber::withNumber(integer(8), bits);
        failed = failed || !number;
        return number;
    }

    OSObject *data() {
        const auto count = static_cast<size_t>(integer(4));
        const uint8_t *bytes = take(count);
        return bytes ? OSData::withBytes(bytes, count) : nullptr;
    }

    OSObject *array(int depth) {
        const auto count = static_cast<uint32_t>(integer(4));
        failed = failed || count > countMax;
        OSArray *array = OSArray::withCapacity(failed ? 0 : count);
        for (uint32_t index = 0; index < count && !failed; ++index) {
            OSObject *member = value(depth + 1);
            array->setObject(member);
            releaseObject(member);
        }
        return array;
    }

    OSObject *dictionary(int depth) {
        const auto count = static_cast<uint32_t>(integer(4));
        failed = failed || count > countMax;
        OSDictionary *dictionary = OSDictionary::withCapacity(failed ? 0 : count);
        for (uint32_t index = 0; index < count && !failed; ++index) {
            OSString *key = text();
            OSObject *member = value(depth + 1);
            dictionary->setObject(key, member);
            releaseObject(key);
            releaseObject(member);
        }
        return dictionary;
    }
};

}  // namespace

std::string nbdext::encode(const OSObject *value) {
    std::string bytes;
    append(bytes, value, 0);
    return bytes;
}

OSObject *nbdext::decode(const uint8_t *bytes, size_t count) {
    Reader reader = {bytes, bytes + count};
    OSObject *value = reader.value(0);
    if (!reader.failed && reader.next == reader.end) return value;
    releaseObject(value);
    return nullptr;
}

void nbdext::decodeInto(void *context, const uint8_t *bytes, size_t count) {
    *static_cast<OSObject **>(context) = decode(bytes, count);
}
