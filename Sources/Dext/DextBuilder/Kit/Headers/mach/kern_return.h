// kern_return_t is with the other results.
#ifndef NBDEXT_MACH_KERN_RETURN_H
#define NBDEXT_MACH_KERN_RETURN_H

#include <DriverKit/IOReturn.h>

#define KERN_INVALID_ADDRESS 1
#define KERN_PROTECTION_FAILURE 2
#define KERN_NO_SPACE 3
#define KERN_INVALID_ARGUMENT 4
#define KERN_FAILURE 5
#define KERN_RESOURCE_SHORTAGE 6
#define KERN_NO_ACCESS 8

#endif
