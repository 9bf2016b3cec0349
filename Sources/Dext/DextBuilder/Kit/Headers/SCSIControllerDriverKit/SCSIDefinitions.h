// The words of SCSI and of its controllers.
#include <DriverKit/storage/SCSICmds_REQUEST_SENSE_Defs.h>
#include <DriverKit/storage/SCSITask.h>
#include <SCSIControllerDriverKit/IOSCSIParallelControllerCharacteristics.h>
