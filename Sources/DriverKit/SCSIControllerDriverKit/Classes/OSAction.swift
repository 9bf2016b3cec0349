// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import Platform
import Synchronization

/// A completion callback that one side hands to the other: a handler, and the route by which it may be called.
///
/// The kernel half makes one for each task object (legacy route) and a single one for all bundled calls; a driver
/// makes its own for interrupts, timers and its own methods.
public final class OSAction: OSObject, @unchecked Sendable {
    // SAFETY: constants and atomics; the reference memory is the driver's.
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
    /// The closure of a callback; nil for the kernel's own actions. The number is a count, a time or a status.
    private let handler: (@Sendable (OSAction, UInt64, UInt64) -> Void)?
    /// Whether the handler wants the time of an interrupt.
    let takesTime: Bool
    private let reference: UnsafeMutableRawPointer?
    /// Bit 31: cancelled. The other bits: the calls of the handler under way.
    private let calls = Atomic<UInt32>(0)
    private static let cancelled: UInt32 = 1 << 31
    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var cancelHandler: (@Sendable () -> Void)?

    /// Makes an action. The kernel keeps a reference to its own.
    /// - Parameter referenceSize: bytes of zeroed memory for the driver's use.
    package init(
        route: Route, referenceSize: Int = 0, takesTime: Bool = false,
        handler: (@Sendable (OSAction, UInt64, UInt64) -> Void)? = nil
    ) {
        self.route = route
        self.handler = handler
        self.takesTime = takesTime
        if referenceSize > 0 {
            let memory = UnsafeMutableRawPointer.allocate(byteCount: referenceSize, alignment: 16)
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: referenceSize)
            reference = memory
        } else {
            reference = nil
        }
        if case .callback = route { super.init() } else { super.init(ownedByKernel: true) }
    }

    deinit { reference?.deallocate() }

    /// Reports a task's action that a driver uses after the call that brought it, although only the kernel holds a
    /// reference.
    func reportOnlyKernels(_ when: String) {
        DriverContext.report(.missingRetain, "\(when), and its action has no other reference than the kernel's")
    }

    /// Makes an action that calls `handler` with the action and a count, time or status.
    ///
    /// Stands for the `CreateAction…` functions that the interface generator adds to a driver's class.
    /// - Parameter referenceSize: bytes of memory that the driver gets with `GetReference`.
    public static func Create(
        _ referenceSize: Int = 0, _ handler: @escaping @Sendable (OSAction, UInt64) -> Void
    ) -> OSAction {
        OSAction(route: .callback, referenceSize: referenceSize) { action, number, _ in handler(action, number) }
    }

    /// Makes an action of another language.
    /// - Parameter handler: gets a count or a time, and for a count the time.
    package convenience init(timedHandler handler: @escaping @Sendable (OSAction, UInt64, UInt64) -> Void) {
        self.init(route: .callback, takesTime: true, handler: handler)
    }

    /// The action's own memory, of the size that it was made with; nil for 0 bytes. It is zeroed at first, and lives as
    /// long as the action.
    public func GetReference() -> UnsafeMutableRawPointer? { reference }

    /// Ends the calls of an action that the driver has made: none begins from now on.
    /// - Parameter handler: called once, when the last call under way has returned.
    /// - Returns: `kIOReturnBadArgument` for an action of the kernel's, and for one that was cancelled before.
    public func Cancel(_ handler: @escaping @Sendable () -> Void) -> kern_return_t {
        guard self.handler != nil else { return kIOReturnBadArgument }
        let isFirst = lock.withLock {
            guard calls.load(ordering: .relaxed) & Self.cancelled == 0 else { return false }
            cancelHandler = handler
            return true
        }
        guard isFirst else { return kIOReturnBadArgument }
        if calls.bitwiseOr(Self.cancelled, ordering: .acquiringAndReleasing).oldValue == 0 { runCancelHandler() }
        return kIOReturnSuccess
    }

    private func runCancelHandler() {
        lock.withLock {
            defer { cancelHandler = nil }
            return cancelHandler
        }?()
    }

    /// Whether the driver has made the action, so that it can be called.
    package var isCallback: Bool { handler != nil }

    /// Calls the handler, unless the action was cancelled. On the queue that the action is for.
    /// - Parameters:
    ///   - number: a count, a time or a status.
    ///   - second: another number, for an action of another language.
    package func call(_ number: UInt64, _ second: UInt64 = 0) {
        guard let handler else { return }
        if calls.add(1, ordering: .acquiringAndReleasing).newValue & Self.cancelled == 0 {
            handler(self, number, second)
        }
        if calls.subtract(1, ordering: .acquiringAndReleasing).newValue == Self.cancelled { runCancelHandler() }
    }
}
