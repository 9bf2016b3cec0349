// All containers.
#ifndef NBDEXT_DRIVERKIT_OSCOLLECTIONS_H
#define NBDEXT_DRIVERKIT_OSCOLLECTIONS_H

#include <DriverKit/OSArray.h>
#include <DriverKit/OSBoolean.h>
#include <DriverKit/OSCollection.h>
#include <DriverKit/OSContainer.h>
#include <DriverKit/OSData.h>
#include <DriverKit/OSDictionary.h>
#include <DriverKit/OSNumber.h>
#include <DriverKit/OSString.h>

#endif
