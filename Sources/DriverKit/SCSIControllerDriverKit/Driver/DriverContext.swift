import CDriverKit
import Diagnostics
import Platform

/// The context of one driver's code: its log of faults, its queues, and the waits of its threads.
///
/// A thread is in a context while it runs the driver's code. The queues see to that.
///
/// Threads: any.
package final class DriverContext: @unchecked Sendable {
    // SAFETY: `queueList` only under `lock`; `taskInEntry` and `slotInEntry` belong to the Default queue;
    // `allocateShared`, `clock` and `kernel` are set before the driver starts.
    /// Collects the driver's faults.
    package let log: DiagnosisLog
    /// The waits of the driver's threads.
    package let waits = WaitGraph()
    /// The clock by which the driver's threads wait: that of the kernel half. Set before the driver starts.
    package var clock = DeadlineClock.machine
    /// The change of power that the driver has to acknowledge.
    package let power = PowerChange()
    /// The receiver of what the driver's services publish. Set before the driver starts.
    package weak var kernel: (any DriverKernelPort)?
    /// The ID of the task whose UserProcessParallelTask runs; 0 for none.
    package var taskInEntry: UInt64 = 0
    /// The slot of the action that came with that task.
    var slotInEntry: UInt16 = 0
    /// Allocates so many bytes of memory that the kernel's process sees too; nil where there is only one process.
    package var allocateShared: (@Sendable (Int) -> IOBufferMemoryDescriptor?)?
    private let lock = Lock()
    private var queueList: [WeakQueue] = []

    private struct WeakQueue {
        weak var queue: IODispatchQueue?
    }

    package init(log: DiagnosisLog) {
        self.log = log
        waits.context = self
    }

    /// The context of the calling thread's code; nil outside of every driver.
    package static var current: DriverContext? {
        nbdext_driver_context().map { Unmanaged<DriverContext>.fromOpaque($0).takeUnretainedValue() }
    }

    // SAFETY: set once, before the driver has threads.
    /// In a driver's process, the context of the driver.
    package nonisolated(unsafe) static weak var ofProcess: DriverContext?

    /// The context of the calling thread's code. In a driver's process, also for a thread that the driver has made
    /// itself and that is in none.
    package static var ofCaller: DriverContext? { current ?? ofProcess }

    /// The name of the calling thread's driver call; "the driver" outside of one.
    package static var currentCall: String { nbdext_driver_call().map { String(cString: $0) } ?? "the driver" }

    /// The driver's queues, in the order of their creation.
    package var queues: [IODispatchQueue] { lock.withLock { queueList.compactMap(\.queue) } }

    func add(_ queue: IODispatchQueue) { lock.withLock { queueList.append(WeakQueue(queue: queue)) } }

    /// Runs driver code on the calling thread, outside of every queue.
    package func run<Result>(_ call: StaticString, _ body: () -> Result) -> Result {
        let outerContext = nbdext_driver_context()
        let outerCall = nbdext_driver_call()
        nbdext_enter_driver(
            Unmanaged.passUnretained(self).toOpaque(),
            UnsafeRawPointer(call.utf8Start).assumingMemoryBound(to: CChar.self))
        defer { nbdext_enter_driver(outerContext, outerCall) }
        return body()
    }

    /// Reports a fault of the calling thread's driver.
    package static func report(_ fault: DriverFault, _ detail: @autoclosure () -> String) {
        if let log = ofCaller?.log {
            log.report(fault, detail())
        } else {
            writeDiagnostic(Diagnosis(fault, detail()).report)
        }
    }
}
