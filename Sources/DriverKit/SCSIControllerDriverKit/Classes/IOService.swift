// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import HardwareBus
import Platform

/// A node of the registry that a driver matches on or publishes.
open class IOService: OSObject, @unchecked Sendable {
    private let lock = Lock()
    // SAFETY: `queues` only under `lock`; `personality` is set before the driver starts.
    private nonisolated(unsafe) var queues: [String: IODispatchQueue] = [:]
    /// The matching dictionary by which the system found the driver.
    package final var personality: OSDictionary = [:]

    /// A node without queues or properties.
    public override init() { super.init() }

    /// Registers a queue under the name that methods are bound to ("AuxiliaryQueue"). Retains it.
    public final func SetDispatchQueue(_ name: String, _ queue: IODispatchQueue) -> kern_return_t {
        queue.retain()
        lock.withLock { queues.updateValue(queue, forKey: name) }?.release()
        return kIOReturnSuccess
    }

    /// The queue of that name, with a reference for the caller. Every service has "Default".
    public final func CopyDispatchQueue(_ name: String, _ queue: inout IODispatchQueue?) -> kern_return_t {
        queue = dispatchQueue(named: name)
        queue?.retain()
        return queue == nil ? kIOReturnBadArgument : kIOReturnSuccess
    }

    /// The properties of the service: for a driver, those of its personality.
    public final func CopyProperties(_ properties: inout OSDictionary?) -> kern_return_t {
        properties = personality
        return kIOReturnSuccess
    }

    /// The queue of that name, without another reference; nil when none is registered.
    package final func dispatchQueue(named name: String) -> IODispatchQueue? {
        lock.withLock { queues[name] }
    }
}

/// Blocks the calling thread, and with it the queue that it runs.
public func IOSleep(_ milliseconds: UInt64) {
    let clock = DriverContext.current?.clock ?? .machine
    _ = clock.wait(for: OneShotEvent(), milliseconds: Int(clamping: milliseconds))
}

/// The PCI function that a driver's personality matched: its registers, and the bus for its DMA.
public final class IOPCIDevice: IOService, @unchecked Sendable {
    // SAFETY: `function` never changes.
    /// The card, or its stand-in in a driver's process.
    package let function: PCIFunction

    /// Makes the node of a card.
    package init(function: PCIFunction) { self.function = function }

    /// Reads 4 bytes of a BAR; only BAR 0 exists.
    public func MemoryRead32(_ memoryIndex: UInt8, _ offset: UInt64, _ value: inout UInt32) {
        value = memoryIndex == 0 ? function.readRegister(Int(offset)) : .max
    }

    /// Writes 4 bytes of a BAR.
    public func MemoryWrite32(_ memoryIndex: UInt8, _ offset: UInt64, _ value: UInt32) {
        if memoryIndex == 0 { function.writeRegister(Int(offset), value) }
    }
}

/// Calls an action on a queue at each interrupt of the device.
public final class IOInterruptDispatchSource: OSObject, @unchecked Sendable {
    // SAFETY: nothing changes after `init`; `CurrentAction` has a lock.
    private let provider: IOPCIDevice
    private let queue: IODispatchQueue
    private let current = CurrentAction()

    /// The current action of a source. The queue refers to it, and may outlive the source.
    private final class CurrentAction: Sendable {
        private let lock = Lock()
        // SAFETY: touched only under `lock`.
        private nonisolated(unsafe) var action: OSAction?

        /// - Returns: whether this is the first action.
        func set(_ action: OSAction) -> Bool {
            lock.withLock {
                defer { self.action = action }
                return self.action == nil
            }
        }

        func get() -> OSAction? { lock.withLock { action } }
    }

    private init(provider: IOPCIDevice, queue: IODispatchQueue) {
        self.provider = provider
        self.queue = queue
        super.init()
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
        guard action.handler != nil else { return kIOReturnBadArgument }
        guard current.set(action) else { return kIOReturnSuccess }
        if queue.isDefault {
            DriverContext.report(
                .interruptsOnDefaultQueue, "the handler of interrupt 0 was set to run on the Default queue")
        }
        let mask = queue.addSource("the interrupt handler") { [current] in
            if let action = current.get() { action.handler?(action, 1) }
        }
        let queue = queue
        provider.function.interruptHandler = { queue.signal(mask: mask) }
        return kIOReturnSuccess
    }
}
