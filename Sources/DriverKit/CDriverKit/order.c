// RTLD_DEFAULT
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "order.h"

#include <dlfcn.h>

void (*nbdext_thread_sanitizer_release)(void *);
void (*nbdext_thread_sanitizer_acquire)(void *);

void nbdext_find_thread_sanitizer(void)
{
    // Its runtime was loaded before all other libraries.
    *(void **)&nbdext_thread_sanitizer_release = dlsym(RTLD_DEFAULT, "__tsan_release");
    *(void **)&nbdext_thread_sanitizer_acquire = dlsym(RTLD_DEFAULT, "__tsan_acquire");
}
