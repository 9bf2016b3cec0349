// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import Synchronization

/// A completion callback that one side hands to the other: a handler, and the route by which it may be called.
///
/// The kernel half makes one for each task object (legacy route) and a single one for all bundled calls; a driver
/// makes its own for interrupts and asynchronous events.
public final class OSAction: OSObject, @unchecked Sendable {
    // SAFETY: constants and one atomic.
    /// The call that an action may be completed with.
    package enum Route: Sendable {
        /// `ParallelTaskCompletion`; the value is the task object's slot.
        case parallelTask(UInt16)
        /// `BundledParallelTaskCompletion`.
        case bundledParallelTasks
        /// A callback of the driver itself.
        case callback
    }

    /// The legal call for its completion.
    package let route: Route
    /// Whether the task that the action was last handed out for has been completed.
    let isCompleted = Atomic<Bool>(false)
    /// The closure of a callback; nil for the kernel's own actions. The number is a count or a status.
    package let handler: (@Sendable (OSAction, UInt64) -> Void)?

    /// Makes an action. The kernel keeps a reference to its own.
    package init(route: Route, handler: (@Sendable (OSAction, UInt64) -> Void)? = nil) {
        self.route = route
        self.handler = handler
        if case .callback = route { super.init() } else { super.init(ownedByKernel: true) }
    }

    /// Reports a task's action that a driver uses after the call that brought it, although only the kernel holds a
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
