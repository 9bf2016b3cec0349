// Included before everything else in each source of a bundle (-include), so that glibc and libstdc++ see the same
// types.
//
// On macOS uint64_t is `unsigned long long`; glibc has `unsigned long`. Overloads, templates and format strings can
// tell the two apart ("%llu" is right there and wrong here). glibc defines the sized types in two small headers only.
// Their guards are set here and the types are defined as on macOS. Sizes and alignments are the same, so nothing
// changes between this code and the libraries that it links. The macros that go with the types (UINT64_C, PRIu64) are
// in the kit's <stdint.h> and <inttypes.h>.

#ifndef NBDEXT_PREFIX_H
#define NBDEXT_PREFIX_H

#if !defined(__clang__) || !defined(__BLOCKS__)
#error "A DEXT is compiled with clang and -fblocks: drivers give blocks to queues. Use `nbdext dext build`."
#endif
#if defined(__cplusplus) && __cplusplus < 202002L
#error "The kit's headers need C++20. Use --std gnu++20 or newer; older code compiles with it too."
#endif
#if !defined(__linux__) || !defined(__LP64__)
#error "nbdext runs DEXTs on 64-bit Linux only."
#endif

#define _BITS_STDINT_INTN_H 1
#define _BITS_STDINT_UINTN_H 1
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;

#endif
