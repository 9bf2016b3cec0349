// Named here so that its absence has a reason.
#error "<DriverKit/IOServiceNotificationDispatchSource.h>: nbdext does not have notifications of services."
