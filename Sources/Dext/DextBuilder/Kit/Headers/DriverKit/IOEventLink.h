// Named here so that its absence has a reason.
#error "<DriverKit/IOEventLink.h>: nbdext does not have event links."
