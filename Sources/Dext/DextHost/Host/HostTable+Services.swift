import CDextABI
import SCSIControllerDriverKit

/// A service whose methods are a bundle's. The calls of the base class come back from there.
protocol BundleServing: IOService {
    func baseStart(_ provider: IOService) -> kern_return_t
    func baseStop(_ provider: IOService) -> kern_return_t
    func baseSetPowerState(_ powerFlags: UInt32) -> kern_return_t
}

extension HostTable {
    // MARK: Services

    static func addServices(to table: Table) {
        table.pointee.service_start = { service, provider in
            guard let service = HostTable.serving(service), let provider = object(provider, as: IOService.self) else {
                return kIOReturnBadArgument
            }
            return service.baseStart(provider)
        }
        table.pointee.service_stop = { service, provider in
            guard let service = HostTable.serving(service), let provider = object(provider, as: IOService.self) else {
                return kIOReturnBadArgument
            }
            return service.baseStop(provider)
        }
        table.pointee.provider = { object($0, as: IOService.self)?.GetProvider().map { handle(of: $0) } }
        table.pointee.registry_entry_id = {
            var id: UInt64 = 0
            _ = object($0, as: IOService.self)?.GetRegistryEntryID(&id)
            return id
        }
        table.pointee.register_service = {
            guard let service = object($0, as: IOService.self) else { return kIOReturnBadArgument }
            let status = service.RegisterService()
            ServiceMatching.shared.registered(service)
            return status
        }
        table.pointee.terminate = { object($0, as: IOService.self)?.Terminate($1) ?? kIOReturnBadArgument }
        table.pointee.create_service = { service, provider, key, result in
            guard let service = object(service, as: IOService.self),
                let provider = object(provider, as: IOService.self)
            else { return kIOReturnBadArgument }
            var made: IOService?
            let status = service.Create(provider, text(key), &made)
            return HostTable.give(made, nil, result, status)
        }
        table.pointee.adjust_busy = { service, delta, state in
            guard let service = object(service, as: IOService.self) else { return kIOReturnBadArgument }
            // Nothing waits for a service to be idle here.
            state?.pointee = service.adjustBusy(delta)
            return kIOReturnSuccess
        }
    }

    private static func serving(_ handle: OpaquePointer?) -> (any BundleServing)? {
        object(handle, as: IOService.self) as? any BundleServing
    }

    // MARK: Names and properties

    static func addProperties(to table: Table) {
        table.pointee.copy_name = { service, sink, context in
            guard let service = object(service, as: IOService.self) else { return kIOReturnBadArgument }
            var name: String?
            let status = service.CopyName(&name)
            HostTable.deliver(Array((name ?? "").utf8), sink, context)
            return status
        }
        table.pointee.set_name = { object($0, as: IOService.self)?.SetName(text($1)) ?? kIOReturnBadArgument }
        table.pointee.copy_properties = { service, sink, context in
            guard let service = object(service, as: IOService.self) else { return kIOReturnBadArgument }
            var properties: OSDictionary?
            let status = service.CopyProperties(&properties)
            HostTable.deliver(PropertyCoder.encode(properties ?? [:]), sink, context)
            return status
        }
        table.pointee.set_properties = { service, bytes, count in
            guard let service = object(service, as: IOService.self), let properties = HostTable.dictionary(bytes, count)
            else {
                return kIOReturnBadArgument
            }
            return service.SetProperties(properties)
        }
        table.pointee.remove_property = {
            object($0, as: IOService.self)?.RemoveProperty(text($1)) ?? kIOReturnBadArgument
        }
        table.pointee.search_property = { service, name, plane, options, sink, context in
            guard let service = object(service, as: IOService.self) else { return kIOReturnBadArgument }
            var property: OSPropertyValue?
            let status = service.SearchProperty(text(name), text(plane), options, &property)
            guard status == kIOReturnSuccess, let property else { return status }
            HostTable.deliver(PropertyCoder.encode(property), sink, context)
            return status
        }
    }

    private static func deliver(_ bytes: [UInt8], _ sink: nbdext_sink?, _ context: UnsafeMutableRawPointer?) {
        bytes.withUnsafeBufferPointer { sink?(context, $0.baseAddress, $0.count) }
    }

    /// The dictionary in encoded bytes.
    static func dictionary(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> OSDictionary? {
        PropertyCoder.decode(Array(UnsafeBufferPointer(start: bytes, count: count)))
    }

    /// The array in encoded bytes.
    static func array(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> OSArray? {
        guard
            case .array(let values)? = PropertyCoder.decodeValue(Array(UnsafeBufferPointer(start: bytes, count: count)))
        else { return nil }
        return values
    }

    // MARK: Power

    static func addPower(to table: Table) {
        // The kernel tells every controller of its power, whether or not it has joined.
        table.pointee.join_power_tree = {
            object($0, as: IOService.self) == nil ? kIOReturnBadArgument : kIOReturnSuccess
        }
        table.pointee.acknowledge_power_state = { HostTable.serving($0)?.baseSetPowerState($1) ?? kIOReturnBadArgument }
        table.pointee.change_power_state = { service, flags in
            guard let service = object(service, as: IOService.self), let queue = service.dispatchQueue(named: "Default")
            else { return kIOReturnBadArgument }
            queue.runAsync("SetPowerState") { _ = service.SetPowerState(flags) }
            return kIOReturnSuccess
        }
        table.pointee.set_power_override = { service, _ in
            object(service, as: IOService.self) == nil ? kIOReturnBadArgument : kIOReturnSuccess
        }
    }
}
