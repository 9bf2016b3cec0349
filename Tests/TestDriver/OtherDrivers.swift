// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDDriver
import SCSIControllerDriverKit

/// A disk in the driver's memory that the kernel has to look for. The other IDs have no target, and say so.
final class ScannedDext: MyFirstDext, @unchecked Sendable {
    override func createTargets() {}

    override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        result = false
        return kIOReturnSuccess
    }

    // Whether there is a target is found out by its first command.
    override func UserInitializeTargetForID(_ id: UInt64) -> kern_return_t { kIOReturnSuccess }

    override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        guard parallelRequest.fTargetID != 0 else {
            return super.UserProcessParallelTask(parallelRequest, &response, completion)
        }
        var result = SCSIUserParallelResponse()
        result.version = kScsiUserParallelTaskResponseCurrentVersion1
        result.fTargetID = parallelRequest.fTargetID
        result.fControllerTaskIdentifier = parallelRequest.fControllerTaskIdentifier
        result.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
        result.fCompletionStatus = kSCSITaskStatus_DeviceNotPresent
        ParallelTaskCompletion(completion, result)
        return kIOReturnSuccess
    }
}

/// Prints, and neither ends its last line nor flushes.
final class PrintingDriver: RAIDDriver, @unchecked Sendable {
    override func UserStartController() -> kern_return_t {
        print("a whole line")
        if CommandLine.arguments.contains("prints-and-traps") {
            print("before the trap", terminator: "")
            fatalError("a habit")
        }
        return super.UserStartController()
    }

    override func Stop(_ provider: IOService) -> kern_return_t {
        print("at the stop", terminator: "")
        return super.Stop(provider)
    }
}
