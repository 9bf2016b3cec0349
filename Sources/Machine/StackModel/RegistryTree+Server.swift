import HBAProfiles
import ParallelInterface
import Platform
import SCSIControllerDriverKit

extension RegistryTree {
    /// The tree of a running server: that of its profile, with its targets and with what its driver has put into the
    /// registry.
    /// - Parameters:
    ///   - profile: the server's.
    ///   - reported: what the driver has reported in UserReportHBAConstraints; nil for nothing.
    ///   - taskCount: the size of the task pool.
    ///   - published: what the driver has published.
    ///   - addresses: the logical units that are disks.
    package init(
        profile: HBAProfile, reported: OSDictionary?, taskCount: Int, published: DriverRegistry.Content,
        addresses: [UnitAddress]
    ) {
        self.init(profile: profile)
        // The driver may be another one than the profile is for.
        unpublished = []
        let settable = ConfigurationCheck.requiredKeys.map(\.key) + ConfigurationCheck.kextKeys
        for key in settable { root.properties[key] = nil }
        for key in settable where profile.driver == .kext || !ConfigurationCheck.kextKeys.contains(key) {
            root.properties[key] = reported?[key].map { RegistryValue($0) }
        }
        root.properties["IOCommandPoolSize"] = .number(UInt64(taskCount))
        let pattern = root.children[0]
        root.add(published.controller, to: "Controller Characteristics")
        root.children = Dictionary(grouping: addresses, by: \.targetID).sorted { $0.key < $1.key }.map { id, units in
            let tree = RegistryTree(profile: profile, logicalUnitCount: units.count)
            var device = tree.root.children[0]
            device.name = pattern.name.replacing("@0", with: "@\(id)")
            device.properties["SCSI Target Identifier"] = .number(UInt64(id))
            device.add(["SCSI Target Identifier": .number(UInt64(id))], to: "Protocol Characteristics")
            device.add(published.targets[UInt64(id)] ?? [:], to: "Protocol Characteristics")
            return device
        }
        addServices(published.services.values.sorted { $0.entryID < $1.entryID })
    }

    /// Puts the controller's own properties on its node, and the other services of the driver below it.
    private mutating func addServices(_ services: [PublishedService]) {
        for service in services where service.isController {
            root.name = ForeignText(service.name).description
            root.properties["IOUserClass"] = .string(root.name)
            root.properties.merge(RegistryValue.dictionary(service.properties)) { $1 }
        }
        for service in services where !service.isController {
            var node = RegistryNode(
                name: ForeignText(service.name).description, className: "IOUserService",
                properties: RegistryValue.dictionary(service.properties))
            node.properties["IORegistered"] = .boolean(service.isRegistered)
            root.children.append(node)
        }
    }
}

extension RegistryNode {
    /// Adds properties to a dictionary of the node.
    fileprivate mutating func add(_ values: OSDictionary, to key: String) {
        var dictionary: [String: RegistryValue] = [:]
        if case .dictionary(let present)? = properties[key] { dictionary = present }
        dictionary.merge(RegistryValue.dictionary(values)) { $1 }
        properties[key] = .dictionary(dictionary)
    }
}

extension RegistryValue {
    /// The same values. Their names are a driver's, so they are made safe to display.
    fileprivate static func dictionary(_ values: OSDictionary) -> [String: RegistryValue] {
        Dictionary(values.map { (ForeignText($0.key).description, RegistryValue($0.value)) }) { first, _ in first }
    }

    /// The same value, as a driver has set it.
    init(_ value: OSPropertyValue) {
        self =
            switch value {
            case .number(let number): .number(number)
            case .boolean(let flag): .boolean(flag)
            case .string(let text): .string(ForeignText(text).description)
            case .data(let bytes): .data(bytes)
            case .array(let values): .array(values.map { RegistryValue($0) })
            case .dictionary(let values): .dictionary(RegistryValue.dictionary(values))
            }
    }
}
