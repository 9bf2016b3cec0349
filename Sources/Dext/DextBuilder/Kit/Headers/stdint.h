// The system's <stdint.h>, with the macros of 64-bit types as on macOS. See nbdext/Prefix.h for the types.
#ifndef NBDEXT_STDINT_H
#define NBDEXT_STDINT_H

#include <nbdext/Prefix.h>
#include_next <stdint.h>

#undef INT64_C
#undef UINT64_C
#undef INT64_MIN
#undef INT64_MAX
#undef UINT64_MAX
#define INT64_C(value) value##LL
#define UINT64_C(value) value##ULL
#define INT64_MAX 9223372036854775807LL
#define INT64_MIN (-INT64_MAX - 1)
#define UINT64_MAX 18446744073709551615ULL

#endif
