// Named here so that its absence has a reason.
#error "<DriverKit/IOServiceStateNotificationDispatchSource.h>: nbdext does not have the system's states."
