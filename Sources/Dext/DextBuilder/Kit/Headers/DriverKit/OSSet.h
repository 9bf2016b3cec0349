// Named here so that its absence has a reason.
#error "<DriverKit/OSSet.h>: nbdext does not have sets; use OSArray."
