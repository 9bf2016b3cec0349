// The system's <string.h>, and the functions that Darwin has beside them.
#ifndef NBDEXT_STRING_H
#define NBDEXT_STRING_H

#include_next <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if !__GLIBC_PREREQ(2, 38)
/// Copies a text into room for `size` bytes, always with an end. Returns the length of `source`.
size_t strlcpy(char *destination, const char *source, size_t size);
/// Appends a text, to at most `size` bytes in all. Returns the length that it tried to make.
size_t strlcat(char *destination, const char *source, size_t size);
#endif
/// Sets `count` bytes, at most `size`. The compiler does not leave it out.
int memset_s(void *destination, size_t size, int value, size_t count);

#ifdef __cplusplus
}
#endif

#endif
