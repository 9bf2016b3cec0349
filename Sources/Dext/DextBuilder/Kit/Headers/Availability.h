// Availability marks. nbdext has one release of everything, so they say nothing here; on macOS they are checked.
#ifndef NBDEXT_AVAILABILITY_H
#define NBDEXT_AVAILABILITY_H

#define __DRIVERKIT_19_0 190000
#define __DRIVERKIT_20_0 200000
#define __DRIVERKIT_21_0 210000
#define __DRIVERKIT_22_0 220000
#define __DRIVERKIT_23_0 230000
#define __DRIVERKIT_24_0 240000
#define __DRIVERKIT_25_0 250000
#define __DRIVERKIT_VERSION_MIN_REQUIRED __DRIVERKIT_25_0
#define __DRIVERKIT_VERSION_MAX_ALLOWED __DRIVERKIT_25_0

#define API_AVAILABLE(...)
#define API_UNAVAILABLE(...)
#define API_DEPRECATED(...)
#define API_DEPRECATED_WITH_REPLACEMENT(...)
#define API_AVAILABLE_BEGIN(...)
#define API_AVAILABLE_END
#define __API_AVAILABLE(...)
#define __API_UNAVAILABLE(...)
#define __API_DEPRECATED(...)
#define __API_DEPRECATED_WITH_REPLACEMENT(...)
#define __OSX_AVAILABLE(...)
#define __OSX_AVAILABLE_STARTING(...)

#endif
