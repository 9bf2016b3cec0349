import Platform
import SCSIControllerDriverKit

/// What a driver has put into the registry: properties of the HBA and of targets, and services of its own.
///
/// Threads: any.
package final class DriverRegistry: Sendable {
    /// Everything at one moment.
    package struct Content: Sendable, Equatable {
        /// "Controller Characteristics" that the driver has set.
        package var controller: OSDictionary = [:]
        /// "Protocol Characteristics" that the driver has set, by target.
        package var targets: [UInt64: OSDictionary] = [:]
        /// The services that have said something of themselves, by number.
        package var services: [UInt64: PublishedService] = [:]
    }

    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var content = Content()

    /// The most services of a driver. It would be a mistake to keep more for it.
    private static let serviceCountMax = 256

    /// The type of a property: a text, or data of so many bytes.
    private enum Kind {
        case text
        case flag
        case data(byteCount: Int)

        func fits(_ value: OSPropertyValue) -> Bool {
            switch (self, value) {
            case (.text, .string), (.flag, .boolean): true
            case (.data(let byteCount), .data(let bytes)): bytes.count == byteCount
            default: false
            }
        }
    }

    private static let controllerKinds: [String: Kind] = [
        kIOPropertyVendorNameKey: .text, kIOPropertyProductNameKey: .text, kIOPropertyProductRevisionLevelKey: .text,
        kIOPropertyPortDescriptionKey: .text, kIOPropertyPortSpeedKey: .text, kIOPropertyPortTopologyKey: .text,
        kIOPropertySCSIParallelSignalingTypeKey: .text, kIOPropertyFibreChannelCableDescriptionKey: .text,
        "Software I/O": .flag,
    ].merging(targetKinds) { $1 }

    private static let targetKinds: [String: Kind] = [
        kIOPropertyFibreChannelNodeWorldWideNameKey: .data(byteCount: 8),
        kIOPropertyFibreChannelPortWorldWideNameKey: .data(byteCount: 8),
        kIOPropertyFibreChannelAddressIdentifierKey: .data(byteCount: 3),
        kIOPropertyFibreChannelALPAKey: .data(byteCount: 1), kIOPropertySASAddressKey: .data(byteCount: 8),
    ]
    /// The system's copy of a port's name or address.
    private static let portIdentifierKey = "SCSI Port Identifier"
    private static let portKeys = [kIOPropertyFibreChannelPortWorldWideNameKey, kIOPropertySASAddressKey]

    package init() {}

    /// Everything that the driver has published.
    package var current: Content { lock.withLock { content } }

    /// Sets and removes properties of a node.
    /// - Returns: `kIOReturnBadArgument` when a name or a value does not fit; then nothing changes.
    func change(_ change: PropertyChange) -> kern_return_t {
        let kinds: [String: Kind]
        switch change.owner {
        case .controller: kinds = Self.controllerKinds
        case .target: kinds = Self.targetKinds
        }
        guard change.values.allSatisfy({ kinds[$0.key]?.fits($0.value) == true }),
            change.removed.allSatisfy({ kinds[$0] != nil })
        else { return kIOReturnBadArgument }
        var values = change.values
        for key in Self.portKeys { if let value = values[key] { values[Self.portIdentifierKey] = value } }
        let removesPort = change.removed.contains { Self.portKeys.contains($0) }
        let removed = change.removed + (removesPort ? [Self.portIdentifierKey] : [])
        lock.withLock {
            switch change.owner {
            case .controller: Self.apply(values, removed, to: &content.controller)
            case .target(let targetID): Self.apply(values, removed, to: &content.targets[targetID, default: [:]])
            }
        }
        return kIOReturnSuccess
    }

    private static func apply(_ values: OSDictionary, _ removed: [String], to properties: inout OSDictionary) {
        for key in removed { properties[key] = nil }
        properties.merge(values) { $1 }
    }

    /// Notes what a service says of itself. One that is gone is forgotten.
    func publish(_ service: PublishedService) {
        lock.withLock {
            if service.isTerminated {
                content.services[service.entryID] = nil
            } else if content.services[service.entryID] != nil || content.services.count < Self.serviceCountMax {
                content.services[service.entryID] = service
            }
        }
    }

    /// Forgets everything: the driver has ended.
    func reset() { lock.withLock { content = Content() } }
}
