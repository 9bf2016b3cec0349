/// What a service of a driver says of itself in the registry.
package struct PublishedService: Sendable, Equatable {
    /// Its number.
    package var entryID: UInt64
    /// The number of the service below it; 0 for the controller.
    package var providerID: UInt64
    /// Its name.
    package var name: String
    /// The properties that it has set.
    package var properties: OSDictionary
    /// It is the driver's controller.
    package var isController: Bool
    /// Others may match on it.
    package var isRegistered: Bool
    /// It is going away.
    package var isTerminated: Bool

    package init(
        entryID: UInt64, providerID: UInt64, name: String, properties: OSDictionary, isController: Bool,
        isRegistered: Bool, isTerminated: Bool
    ) {
        self.entryID = entryID
        self.providerID = providerID
        self.name = name
        self.properties = properties
        self.isController = isController
        self.isRegistered = isRegistered
        self.isTerminated = isTerminated
    }
}

/// The service as a message of a control link.
extension PublishedService {
    /// Nil when the message is none.
    package init?(_ message: ControlMessage) {
        guard let content = PropertyCoder.decode(message.payload), let name = content["name"]?.stringValue,
            let properties = content["properties"]?.dictionaryValue
        else { return nil }
        self.init(
            entryID: message[0], providerID: message[1], name: name, properties: properties,
            isController: message[2] & 1 != 0, isRegistered: message[2] & 2 != 0, isTerminated: message[2] & 4 != 0)
    }

    var message: ControlMessage {
        ControlMessage(
            [entryID, providerID, (isController ? 1 : 0) | (isRegistered ? 2 : 0) | (isTerminated ? 4 : 0)],
            payload: PropertyCoder.encode(["name": .string(name), "properties": .dictionary(properties)]))
    }
}

/// A node whose properties the kernel keeps for the driver.
package enum PropertyOwner: Sendable, Hashable {
    /// The HBA: its "Controller Characteristics".
    case controller
    /// A target: its "Protocol Characteristics".
    case target(SCSIDeviceIdentifier)
}

/// Properties to set and to remove, as a message of a control link.
package struct PropertyChange: Sendable, Equatable {
    /// The node.
    package var owner: PropertyOwner
    /// Properties to set.
    package var values: OSDictionary = [:]
    /// The names of properties to remove.
    package var removed: [String] = []

    package init(owner: PropertyOwner, values: OSDictionary = [:], removed: [String] = []) {
        self.owner = owner
        self.values = values
        self.removed = removed
    }

    /// Nil when the message is none.
    package init?(_ message: ControlMessage) {
        guard let content = PropertyCoder.decode(message.payload), let values = content["set"]?.dictionaryValue,
            case .array(let removed)? = content["remove"]
        else { return nil }
        self.init(
            owner: message[0] == 1 ? .target(message[1]) : .controller, values: values,
            removed: removed.compactMap(\.stringValue))
    }

    var message: ControlMessage {
        let numbers: [UInt64] =
            switch owner {
            case .controller: [0, 0]
            case .target(let targetID): [1, targetID]
            }
        return ControlMessage(
            numbers,
            payload: PropertyCoder.encode([
                "set": .dictionary(values), "remove": .array(removed.map { .string($0) }),
            ]))
    }
}
