// Named here so that its absence has a reason.
#error "<DriverKit/IODataQueueDispatchSource.h>: nbdext does not have data queues, since it has no clients."
