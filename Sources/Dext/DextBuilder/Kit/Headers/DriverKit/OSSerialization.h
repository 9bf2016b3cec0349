// Named here so that its absence has a reason.
#error "<DriverKit/OSSerialization.h>: nbdext does not have serialization."
