// Named here so that its absence has a reason.
#error "<DriverKit/OSOrderedSet.h>: nbdext does not have ordered sets; use OSArray."
