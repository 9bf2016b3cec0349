// One header has both kinds of names.
#include <DriverKit/storage/IOStorageProtocolCharacteristics.h>
