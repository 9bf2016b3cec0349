import SCSIControllerDriverKit

/// The kernel side of the driver boundary: what a host takes from it and brings back to it.
package protocol KernelHalf: DriverKernelPort {
    /// Takes the slots whose tasks wait to be sent, oldest first. Called inside the driver's submission queue.
    /// - Parameter indices: room for kMaxBundledParallelTasks slots.
    /// - Returns: how many were taken; 0 when none wait.
    func takeSubmissions(_ indices: UnsafeMutablePointer<UInt16>) -> Int

    /// The driver refused a task of the legacy route: its immediate response was not Request_In_Process.
    func submissionRefused(slot: UInt16)
}
