// Pages are 16 KiB, as on Apple silicon, whatever this machine has.
#ifndef NBDEXT_MACH_VM_PARAM_H
#define NBDEXT_MACH_VM_PARAM_H

#include <stdint.h>

#undef PAGE_SHIFT
#undef PAGE_SIZE
#undef PAGE_MASK
#define PAGE_SHIFT 14
#define PAGE_SIZE 16384
#define PAGE_MASK (PAGE_SIZE - 1)
#define trunc_page(address) ((address) & ~((uint64_t)PAGE_MASK))
#define round_page(address) trunc_page((address) + PAGE_MASK)

typedef unsigned long vm_size_t;
typedef unsigned long vm_offset_t;
typedef unsigned long vm_address_t;
typedef uint64_t mach_vm_address_t;
typedef uint64_t mach_vm_size_t;
typedef uint64_t mach_vm_offset_t;

#ifdef __cplusplus
extern "C" {
#endif
extern vm_size_t vm_page_size;
extern vm_size_t vm_page_mask;
extern int vm_page_shift;
#ifdef __cplusplus
}
#endif

#endif
