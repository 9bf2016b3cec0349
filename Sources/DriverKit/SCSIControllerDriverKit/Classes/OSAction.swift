// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import Synchronization

/// A completion that one side hands to the other: whom to call, and by which route.
///
/// The kernel half makes one for each task object (legacy route) and a single one for all bundled calls; a driver
/// makes its own for interrupts and asynchronous events.
public final class OSAction: OSObject, @unchecked Sendable {
    // SAFETY: constants and one atomic.
    /// Which call an action may be completed with.
    package enum Route: Sendable {
        /// `ParallelTaskCompletion`; the value names the task object.
        case parallelTask(UInt16)
        /// `BundledParallelTaskCompletion`.
        case bundledParallelTasks
        /// A callback of the driver itself.
        case callback
    }

    package let route: Route
    /// Whether the task has been completed for which the action was handed out last.
    let isCompleted = Atomic<Bool>(false)
    package let handler: (@Sendable (OSAction, UInt64) -> Void)?

    package init(route: Route, handler: (@Sendable (OSAction, UInt64) -> Void)? = nil) {
        self.route = route
        self.handler = handler
        if case .callback = route { super.init() } else { super.init(ownedByKernel: true) }
    }

    /// Reports a task's action that a driver uses after the call which brought it, and to which only the kernel has a
    /// reference.
    func reportOnlyKernels(_ when: String) {
        DriverContext.report(.missingRetain, "\(when), and its action has no other reference than the kernel's")
    }

    /// Makes an action that calls `handler` with the action and a count or status.
    ///
    /// Stands for the `CreateAction…` functions that the interface generator adds to a driver's class.
    public static func Create(_ handler: @escaping @Sendable (OSAction, UInt64) -> Void) -> OSAction {
        OSAction(route: .callback, handler: handler)
    }
}
