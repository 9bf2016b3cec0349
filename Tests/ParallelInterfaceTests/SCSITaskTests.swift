import ParallelInterface
import SCSI
import SCSIControllerDriverKit
import TestTraits
import Testing

@Suite("The outcome of a SCSI task", .blocks)
struct SCSITaskTests {
    @Test("service response and status are read together", arguments: [UInt8(0x00), 0x02, 0x03, 0x04, 0x08, 0xFF])
    func outcome(number: UInt8) {
        var task = SCSITask()
        task.taskStatus = number
        task.serviceResponse = UInt8(kSCSIServiceResponse_TASK_COMPLETE)
        #expect(task.status == SCSIStatus(rawValue: number))
        #expect(!task.isDeviceNotPresent && !task.isDeviceNotResponding)
        task.serviceResponse = UInt8(kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE)
        #expect(task.status == nil)
        #expect(task.isDeviceNotPresent == (number == UInt8(kSCSITaskStatus_DeviceNotPresent)))
        #expect(task.isDeviceNotResponding == (number == UInt8(kSCSITaskStatus_DeviceNotResponding)))
    }
}
