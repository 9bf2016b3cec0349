// Byte order. The host is little-endian.
#ifndef NBDEXT_LIBKERN_OSBYTEORDER_H
#define NBDEXT_LIBKERN_OSBYTEORDER_H

#include <stdint.h>
#include <string.h>

#define OSSwapInt16(x) __builtin_bswap16((uint16_t)(x))
#define OSSwapInt32(x) __builtin_bswap32((uint32_t)(x))
#define OSSwapInt64(x) ((uint64_t)__builtin_bswap64((uint64_t)(x)))
#define OSSwapConstInt16(x) OSSwapInt16(x)
#define OSSwapConstInt32(x) OSSwapInt32(x)
#define OSSwapConstInt64(x) OSSwapInt64(x)

#define OSSwapLittleToHostInt16(x) ((uint16_t)(x))
#define OSSwapHostToLittleInt16(x) ((uint16_t)(x))
#define OSSwapLittleToHostInt32(x) ((uint32_t)(x))
#define OSSwapHostToLittleInt32(x) ((uint32_t)(x))
#define OSSwapLittleToHostInt64(x) ((uint64_t)(x))
#define OSSwapHostToLittleInt64(x) ((uint64_t)(x))
#define OSSwapBigToHostInt16(x) OSSwapInt16(x)
#define OSSwapHostToBigInt16(x) OSSwapInt16(x)
#define OSSwapBigToHostInt32(x) OSSwapInt32(x)
#define OSSwapHostToBigInt32(x) OSSwapInt32(x)
#define OSSwapBigToHostInt64(x) OSSwapInt64(x)
#define OSSwapHostToBigInt64(x) OSSwapInt64(x)
#define OSSwapBigToHostConstInt16(x) OSSwapInt16(x)
#define OSSwapHostToBigConstInt16(x) OSSwapInt16(x)
#define OSSwapBigToHostConstInt32(x) OSSwapInt32(x)
#define OSSwapHostToBigConstInt32(x) OSSwapInt32(x)
#define OSSwapBigToHostConstInt64(x) OSSwapInt64(x)
#define OSSwapHostToBigConstInt64(x) OSSwapInt64(x)
#define OSSwapLittleToHostConstInt16(x) ((uint16_t)(x))
#define OSSwapLittleToHostConstInt32(x) ((uint32_t)(x))
#define OSSwapLittleToHostConstInt64(x) ((uint64_t)(x))

// Numbers at a byte offset of some memory, of any alignment.
#define NBDEXT_BYTE_ORDER(bits)                                                                       \
    static inline uint##bits##_t OSReadLittleInt##bits(const volatile void *base, uintptr_t offset) { \
        uint##bits##_t value;                                                                         \
        memcpy(&value, (const char *)(uintptr_t)base + offset, sizeof value);                         \
        return value;                                                                                 \
    }                                                                                                 \
    static inline uint##bits##_t OSReadBigInt##bits(const volatile void *base, uintptr_t offset) {    \
        return OSSwapInt##bits(OSReadLittleInt##bits(base, offset));                                  \
    }                                                                                                 \
    static inline void OSWriteLittleInt##bits(                                                        \
        volatile void *base, uintptr_t offset, uint##bits##_t value) {                                \
        memcpy((char *)(uintptr_t)base + offset, &value, sizeof value);                               \
    }                                                                                                 \
    static inline void OSWriteBigInt##bits(                                                           \
        volatile void *base, uintptr_t offset, uint##bits##_t value) {                                \
        OSWriteLittleInt##bits(base, offset, OSSwapInt##bits(value));                                 \
    }
NBDEXT_BYTE_ORDER(16)
NBDEXT_BYTE_ORDER(32)
NBDEXT_BYTE_ORDER(64)
#undef NBDEXT_BYTE_ORDER

#endif
