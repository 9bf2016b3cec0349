// Named here so that its absence has a reason.
#error "<DriverKit/IOHistogramReporter.h>: nbdext does not have reporters."
