// Named here so that its absence has a reason.
#error "<DriverKit/IOWorkGroup.h>: nbdext does not have work groups."
