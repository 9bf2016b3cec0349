// Older name of <Availability.h>.
#include <Availability.h>
