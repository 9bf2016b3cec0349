// All of SCSIControllerDriverKit.
#include <SCSIControllerDriverKit/IOSCSIParallelControllerCharacteristics.h>
#include <SCSIControllerDriverKit/IOUserSCSIParallelInterfaceController.h>
