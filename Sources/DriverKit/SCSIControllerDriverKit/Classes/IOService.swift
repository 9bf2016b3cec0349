// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import Platform
import Synchronization

/// The power state of a device that the system does not need.
public let kIOServicePowerCapabilityOff: UInt32 = 0x0000_0000
/// The power state of a device in use.
public let kIOServicePowerCapabilityOn: UInt32 = 0x0000_0002
/// The power state of a device with little power while the system runs.
public let kIOServicePowerCapabilityLow: UInt32 = 0x0001_0000
/// The power state of a SCSI controller that stops its I/O for a moment.
public let kIOServicePowerCapabilityPause: UInt32 = 0x0000_1000

/// A node of the registry that a driver matches on or publishes.
open class IOService: OSObject, @unchecked Sendable {
    private let lock = Lock()
    // SAFETY: `queues` and `node` only under `lock`; `personality` and `context` are set before the service starts.
    private nonisolated(unsafe) var queues: [String: IODispatchQueue] = [:]
    private nonisolated(unsafe) var node = Node()
    /// The matching dictionary by which the system found the driver.
    package final var personality: OSDictionary = [:]
    /// The driver that the service belongs to; nil for its provider.
    package final weak var context: DriverContext?
    private static let lastEntryID = Atomic<UInt64>(0x1_0000_0000)

    /// What the service says of itself.
    private struct Node {
        var entryID: UInt64 = 0
        var name: String?
        /// Properties that the service has set, which go before those of its personality.
        var properties: OSDictionary = [:]
        var isRegistered = false
        var isTerminated = false
        var busyCount: UInt32 = 0
        weak var provider: IOService?
    }

    /// A node without queues or properties.
    public override init() { super.init() }

    // MARK: Life cycle

    /// The service has its provider. Overrides call super first.
    open func Start(_ provider: IOService) -> kern_return_t {
        lock.withLock { node.provider = provider }
        return kIOReturnSuccess
    }

    /// The service is going away. Overrides call super last.
    open func Stop(_ provider: IOService) -> kern_return_t {
        hasStopped.set()
        return kIOReturnSuccess
    }

    /// Set when the base class's `Stop` was called: the service has let go.
    package final let hasStopped = OneShotEvent()

    /// The provider that `Start` was called with; nil before.
    public final func GetProvider() -> IOService? { lock.withLock { node.provider } }

    /// Makes the object for a class that `Create` names; nil for an unknown one. Stands for the table of classes that
    /// the system has of a driver in C++.
    open func NewService(_ userClass: String) -> IOService? { nil }

    /// Makes and starts the service that a dictionary of the personality describes.
    /// - Parameters:
    ///   - provider: the new service's provider.
    ///   - propertiesKey: the name of the dictionary. Its "IOUserClass" names the class.
    ///   - result: receives the service, with a reference for the caller.
    /// - Returns: `kIOReturnBadArgument` when there is no such dictionary, `kIOReturnUnsupported` when there is no such
    ///   class, and the new service's own error.
    public final func Create(
        _ provider: IOService, _ propertiesKey: String, _ result: inout IOService?
    ) -> kern_return_t {
        guard let properties = personality[propertiesKey]?.dictionaryValue,
            let userClass = properties["IOUserClass"]?.stringValue
        else { return kIOReturnBadArgument }
        guard let service = NewService(userClass) else { return kIOReturnUnsupported }
        let status = service.start(
            userClass, properties, on: provider, context: DriverContext.ofCaller ?? self.context)
        guard status == kIOReturnSuccess else { return status }
        service.publish()
        result = service
        return kIOReturnSuccess
    }

    /// Gives a service of the driver's own its Default queue, and calls `Start` there.
    /// - Parameters:
    ///   - userClass: the class's name, for pictures of queues.
    ///   - properties: what the service finds in its personality.
    ///   - context: the driver that the service belongs to.
    /// - Returns: what `Start` returned; `kIOReturnAborted` when it could never run, which was reported.
    package final func start(
        _ userClass: String, _ properties: OSDictionary, on provider: IOService, context: DriverContext?
    ) -> kern_return_t {
        let queue = IODispatchQueue(name: "Default of \(userClass)", context: context)
        self.context = context
        personality = properties
        _ = SetDispatchQueue("Default", queue)
        var status = kIOReturnAborted
        _ = queue.runSync("Start", purpose: "Start of \(userClass)") { status = Start(provider) }
        return status
    }

    /// Ends the service: the system calls `Stop`, later, on its Default queue. A controller serves nothing from then
    /// on.
    public final func Terminate(_ options: UInt64) -> kern_return_t {
        let (isFirst, provider) = lock.withLock {
            defer { node.isTerminated = true }
            return (!node.isTerminated, node.provider)
        }
        guard isFirst else { return kIOReturnNotReady }
        publish()
        // The kernel stops a controller itself.
        guard !isController, let provider else { return kIOReturnSuccess }
        dispatchQueue(named: "Default")?.runAsync("Stop") { [self] in _ = Stop(provider) }
        return kIOReturnSuccess
    }

    /// Whether the service is the driver's controller, which the kernel starts and stops.
    package final var isController: Bool { self is IOUserSCSIParallelInterfaceController }

    // MARK: Power

    /// The system changes the device's power. This call of the base class is the acknowledgement: an override makes it
    /// when the device has the power that it needs, at once or up to 20 s later.
    /// - Parameter powerFlags: a `kIOServicePowerCapability…` number.
    open func SetPowerState(_ powerFlags: UInt32) -> kern_return_t {
        (DriverContext.ofCaller ?? context)?.power.acknowledge()
        return kIOReturnSuccess
    }

    // MARK: Queues

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

    /// The queue of that name, without another reference; nil when none is registered.
    package final func dispatchQueue(named name: String) -> IODispatchQueue? {
        lock.withLock { queues[name] }
    }

    // MARK: Registry

    /// The properties of the service: for a driver, those of its personality and those that it has set.
    public final func CopyProperties(_ properties: inout OSDictionary?) -> kern_return_t {
        properties = personality.merging(lock.withLock { node.properties }) { $1 }
        return kIOReturnSuccess
    }

    /// Sets properties of the service; others stay as they are.
    public final func SetProperties(_ properties: OSDictionary) -> kern_return_t {
        lock.withLock { node.properties.merge(properties) { $1 } }
        publish()
        return kIOReturnSuccess
    }

    /// Removes a property that the service has set.
    public final func RemoveProperty(_ propertyName: String) -> kern_return_t {
        guard lock.withLock({ node.properties.removeValue(forKey: propertyName) }) != nil else {
            return kIOReturnNotFound
        }
        publish()
        return kIOReturnSuccess
    }

    /// A property of the service, or of its providers if the options say so.
    /// - Parameters:
    ///   - plane: the registry's plane; there is one here.
    ///   - options: `kIOServiceSearchPropertyParents`, or 0.
    public final func SearchProperty(
        _ name: String, _ plane: String, _ options: UInt64, _ property: inout OSPropertyValue?
    ) -> kern_return_t {
        var properties: OSDictionary?
        _ = CopyProperties(&properties)
        property = properties?[name]
        if property != nil { return kIOReturnSuccess }
        guard options & kIOServiceSearchPropertyParents != 0, let provider = GetProvider() else {
            return kIOReturnNotFound
        }
        return provider.SearchProperty(name, plane, options, &property)
    }

    /// Names the service in the registry.
    public final func SetName(_ name: String) -> kern_return_t {
        lock.withLock { node.name = name }
        publish()
        return kIOReturnSuccess
    }

    /// The name: the one that was set, or the class.
    public final func CopyName(_ name: inout String?) -> kern_return_t {
        name = lock.withLock { node.name } ?? personality["IOUserClass"]?.stringValue ?? "\(type(of: self))"
        return kIOReturnSuccess
    }

    /// The service's number in the registry: not 0, and no other service's.
    public final func GetRegistryEntryID(_ registryEntryID: inout UInt64) -> kern_return_t {
        registryEntryID = lock.withLock {
            if node.entryID == 0 { node.entryID = Self.lastEntryID.add(1, ordering: .relaxed).newValue }
            return node.entryID
        }
        return kIOReturnSuccess
    }

    /// Tells the system that the service is ready, so that others can match on it.
    public final func RegisterService() -> kern_return_t {
        lock.withLock { node.isRegistered = true }
        publish()
        return kIOReturnSuccess
    }

    /// Changes the count of what the service still has to do.
    /// - Returns: the count, which is never below 0.
    package final func adjustBusy(_ delta: Int32) -> UInt32 {
        lock.withLock {
            node.busyCount = UInt32(clamping: Int64(node.busyCount) + Int64(delta))
            return node.busyCount
        }
    }

    /// Tells the kernel what the service says of itself.
    final func publish() {
        guard let kernel = (DriverContext.ofCaller ?? context)?.kernel else { return }
        var providerID: UInt64 = 0
        if !isController { _ = GetProvider()?.GetRegistryEntryID(&providerID) }
        var entryID: UInt64 = 0
        _ = GetRegistryEntryID(&entryID)
        var name: String?
        _ = CopyName(&name)
        kernel.publish(
            lock.withLock {
                PublishedService(
                    entryID: entryID, providerID: providerID, name: name ?? "", properties: node.properties,
                    isController: isController, isRegistered: node.isRegistered, isTerminated: node.isTerminated)
            })
    }
}

/// An option of `SearchProperty`: looks in the providers too.
public let kIOServiceSearchPropertyParents: UInt64 = 1

/// Blocks the calling thread, and with it the queue that it runs.
public func IOSleep(_ milliseconds: UInt64) {
    let clock = DriverContext.ofCaller?.clock ?? .machine
    _ = clock.wait(for: OneShotEvent(), milliseconds: Int(clamping: milliseconds))
}
