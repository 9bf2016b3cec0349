#include "order.h"

// RTLD_DEFAULT is in it with the package's _GNU_SOURCE.
#include <dlfcn.h>

void (*nbdext_thread_sanitizer_release)(void *);
void (*nbdext_thread_sanitizer_acquire)(void *);

void nbdext_find_thread_sanitizer(void)
{
    // Its runtime was loaded before all other libraries.
    *(void **)&nbdext_thread_sanitizer_release = dlsym(RTLD_DEFAULT, "__tsan_release");
    *(void **)&nbdext_thread_sanitizer_acquire = dlsym(RTLD_DEFAULT, "__tsan_acquire");
}
