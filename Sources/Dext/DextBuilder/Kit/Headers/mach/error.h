// The parts of a result are with the other results.
#include <DriverKit/IOReturn.h>
