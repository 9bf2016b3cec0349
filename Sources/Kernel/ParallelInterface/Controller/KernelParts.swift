import Diagnostics
import DriverHost
import HardwareBus
import Platform
import Synchronization

/// What the kernel half does with tasks and targets at present.
///
/// Threads: any.
final class DriverState: Sendable {
    /// False once the controller stops. Then tasks fail instead of being sent.
    let acceptsTasks = Atomic<Bool>(true)
    /// The driver may create targets, since everything that their tasks need exists.
    let acceptsTargets = Atomic<Bool>(false)
    /// The driver was given up. The watchdog ends its tasks.
    let isDriverGone = Atomic<Bool>(false)

    /// The driver is stopped or about to be, so failures are not its fault.
    var isStopping: Bool { !acceptsTasks.load(ordering: .relaxed) }

    func refuseTasks() { acceptsTasks.store(false, ordering: .releasing) }

    func refuseTargets() { acceptsTargets.store(false, ordering: .releasing) }
}

/// What all parts of the kernel half share.
struct KernelParts: Sendable {
    let host: any DriverHost
    let card: PCIFunction
    let arena: DataArena
    let options: KernelOptions
    /// Gets every task; nil for none.
    let trace: TaskTrace?
    let tasks: TaskTable
    let lanes: LaneTable
    let targets = TargetTable()
    let state = DriverState()
    let media = MediaWatch()
    let registry = DriverRegistry()
    var log: DiagnosisLog { host.context.log }
}
