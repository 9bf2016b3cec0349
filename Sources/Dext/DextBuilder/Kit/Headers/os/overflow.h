// Arithmetic that says whether its result fits.
#ifndef NBDEXT_OS_OVERFLOW_H
#define NBDEXT_OS_OVERFLOW_H

#include <stdbool.h>

#define os_add_overflow(a, b, result) __builtin_add_overflow((a), (b), (result))
#define os_sub_overflow(a, b, result) __builtin_sub_overflow((a), (b), (result))
#define os_mul_overflow(a, b, result) __builtin_mul_overflow((a), (b), (result))
#define os_add3_overflow(a, b, c, result)                                                       \
    __extension__({                                                                             \
        __typeof__(*(result)) nbdext_sum;                                                       \
        bool nbdext_first = __builtin_add_overflow((a), (b), &nbdext_sum);                      \
        bool nbdext_second = __builtin_add_overflow(nbdext_sum, (c), (result));                 \
        nbdext_first || nbdext_second;                                                          \
    })
#define os_convert_overflow(a, result) os_add_overflow((a), 0, (result))
#define os_inc_overflow(result) os_add_overflow(*(result), 1, (result))
#define os_dec_overflow(result) os_sub_overflow(*(result), 1, (result))

#endif
