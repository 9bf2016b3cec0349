// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import Platform
import Synchronization

/// A source of events, which calls an action on a queue.
///
/// Threads: any.
open class IODispatchSource: OSObject, @unchecked Sendable {
    // SAFETY: neither property changes.
    /// The queue on which the handler runs.
    final let queue: IODispatchQueue
    final let events: SourceEvents

    init(queue: IODispatchQueue) {
        self.queue = queue
        events = SourceEvents()
        super.init()
    }

    /// Ends the source for good: no call of its action begins from now on.
    /// - Parameter handler: called on the source's queue, when the last call has returned; nil for none.
    /// - Returns: `kIOReturnNotReady` when the source was cancelled before.
    public final func Cancel(_ handler: (@Sendable () -> Void)?) -> kern_return_t {
        guard events.cancel() else { return kIOReturnNotReady }
        cancelled()
        if let handler { queue.runAsync("the cancel handler of a source", handler) }
        return kIOReturnSuccess
    }

    /// Lets the source call its action, or keeps it from doing so. An event that comes meanwhile is not lost.
    /// - Parameter handler: called on the source's queue, when no call is under way; nil for none.
    public final func SetEnableWithCompletion(
        _ enable: Bool, _ handler: (@Sendable () -> Void)?
    ) -> kern_return_t {
        guard let isDue = events.setEnabled(enable) else { return kIOReturnNotReady }
        if isDue { signal() }
        if let handler { queue.runAsync("the completion handler of SetEnable", handler) }
        return kIOReturnSuccess
    }

    /// Lets the source call its action, or keeps it from doing so. An event that comes meanwhile is not lost.
    public final func SetEnable(_ enable: Bool) -> kern_return_t { SetEnableWithCompletion(enable, nil) }

    /// Has the action called on the queue, soon.
    func signal() {}

    /// Lets go of what brings events.
    func cancelled() {}
}

/// The action of a source, and whether it may be called. The queue refers to it, and may outlive the source.
final class SourceEvents: @unchecked Sendable {
    // SAFETY: touched only under `lock`.
    private let lock = Lock()
    private var action: OSAction?
    private var isEnabled = true
    private var isCancelled = false
    /// An event came while the source was disabled.
    private var isPending = false

    /// - Returns: whether this is the first action; nil when the source was cancelled.
    func set(_ action: OSAction) -> Bool? {
        lock.withLock {
            if isCancelled { return nil }
            defer { self.action = action }
            return self.action == nil
        }
    }

    /// The action to call for an event, if one may be called now.
    func take() -> OSAction? {
        lock.withLock {
            guard !isCancelled else { return nil }
            guard isEnabled else {
                isPending = true
                return nil
            }
            return action
        }
    }

    /// - Returns: false when the source was cancelled before.
    func cancel() -> Bool {
        lock.withLock {
            if isCancelled { return false }
            isCancelled = true
            action = nil
            return true
        }
    }

    /// - Returns: whether an event waits to be delivered; nil when the source was cancelled.
    func setEnabled(_ isEnabled: Bool) -> Bool? {
        lock.withLock {
            if isCancelled { return nil }
            self.isEnabled = isEnabled
            defer { if isEnabled { isPending = false } }
            return isEnabled && isPending
        }
    }
}

/// The count of a source's interrupts, and the time of the last one.
private final class LastInterrupt: Sendable {
    private let count = Atomic<UInt64>(0)
    private let time = Atomic<UInt64>(0)

    /// On the source's queue.
    /// - Returns: the time.
    func note(_ time: UInt64) -> UInt64 {
        self.time.store(time, ordering: .relaxed)
        count.store(count.load(ordering: .relaxed) + 1, ordering: .releasing)
        return time
    }

    var current: (count: UInt64, time: UInt64) {
        (count.load(ordering: .acquiring), time.load(ordering: .relaxed))
    }
}

/// Calls an action on a queue at each interrupt of the device.
public final class IOInterruptDispatchSource: IODispatchSource, @unchecked Sendable {
    // SAFETY: `provider` never changes; `mask` is set once, before the first interrupt.
    private let provider: IOPCIDevice
    private nonisolated(unsafe) var mask: UInt32 = 0
    private let last = LastInterrupt()

    private init(provider: IOPCIDevice, queue: IODispatchQueue) {
        self.provider = provider
        super.init(queue: queue)
    }

    /// Makes a source for the device's interrupt `index` (only 0 exists). Its handler runs on `queue`.
    public static func Create(
        _ provider: IOPCIDevice, _ index: UInt32, _ queue: IODispatchQueue, _ source: inout IOInterruptDispatchSource?
    ) -> kern_return_t {
        guard index == 0 else { return kIOReturnBadArgument }
        source = IOInterruptDispatchSource(provider: provider, queue: queue)
        return kIOReturnSuccess
    }

    /// Sets the action to call, and enables the source. If the source was enabled before, the next interrupt calls the
    /// new action. The action's count is always 1: an interrupt says that there is work, not how much.
    public func SetHandler(_ action: OSAction) -> kern_return_t {
        guard action.isCallback, let isFirst = events.set(action) else { return kIOReturnBadArgument }
        guard isFirst else { return kIOReturnSuccess }
        if queue.isDefault {
            DriverContext.report(
                .interruptsOnDefaultQueue, "the handler of interrupt 0 was set to run on the Default queue")
        }
        mask = queue.addSource("the interrupt handler") { [events, last] in
            guard let action = events.take() else { return }
            action.call(1, action.takesTime ? last.note(mach_absolute_time()) : 0)
        }
        provider.function.interruptHandler = { [queue, mask] in queue.signal(mask: mask) }
        return kIOReturnSuccess
    }

    /// The number of interrupts so far that called an action of another language, and the time of the last one.
    package var lastInterrupt: (count: UInt64, time: UInt64) { last.current }

    override func signal() { queue.signal(mask: mask) }

    override func cancelled() { if mask != 0 { provider.function.interruptHandler = nil } }
}
