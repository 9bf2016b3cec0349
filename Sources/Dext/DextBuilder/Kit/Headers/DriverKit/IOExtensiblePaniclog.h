// Named here so that its absence has a reason.
#error "<DriverKit/IOExtensiblePaniclog.h>: nbdext does not have panic logs."
