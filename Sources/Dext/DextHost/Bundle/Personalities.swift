import CDextABI
import SCSIControllerDriverKit

/// The personalities of a bundle, and the objects that they match.
///
/// A personality whose provider is IOUserResources matches at once, one whose provider is IOPCIDevice matches the card.
/// Others wait for a service of the driver's own that was registered.
struct Personalities {
    /// The key of the controller's properties under which the server passes them all.
    static let key = "IOKitPersonalities"

    /// A personality, and the class that it names.
    struct Personality {
        var name: String
        var properties: OSDictionary
        var userClass: String
        var providerClass: String

        init?(name: String, properties: OSDictionary) {
            guard let userClass = properties["IOUserClass"]?.stringValue else { return nil }
            self.name = name
            self.properties = properties
            self.userClass = userClass
            providerClass = properties["IOProviderClass"]?.stringValue ?? "IOUserResources"
        }

        var matchesResources: Bool { providerClass == "IOUserResources" || providerClass == "IOResources" }
        var matchesCard: Bool { providerClass == "IOPCIDevice" }

        /// Whether the personality matches a service that was registered.
        /// - Parameter className: the service's class.
        func matches(_ service: IOService, className: String) -> Bool {
            guard !matchesResources, !matchesCard,
                ["IOService", "IOUserService", className].contains(providerClass)
            else { return false }
            var found: OSDictionary?
            _ = service.CopyProperties(&found)
            let wanted = properties["IOPropertyMatch"]?.dictionaryValue ?? [:]
            return wanted.allSatisfy { found?[$0.key] == $0.value }
        }
    }

    /// The personality of the controller.
    let controller: Personality
    /// Those of services that come before it.
    let others: [Personality]

    /// - Parameters:
    ///   - properties: the properties that the server gave to the controller.
    ///   - bundle: the bundle.
    init(_ properties: OSDictionary, in bundle: LoadedBundle) throws(DriverStartError) {
        let all = (properties[Self.key]?.dictionaryValue ?? [:]).sorted { $0.key < $1.key }.compactMap {
            Personality(name: $0.key, properties: $0.value.dictionaryValue ?? [:])
        }
        let controllers = all.filter { bundle.kind(ofClass: $0.userClass) == NBDEXT_CLASS_CONTROLLER }
        guard let controller = controllers.first else {
            throw DriverStartError(
                call: "Info.plist",
                reason: all.isEmpty
                    ? "has no personality with an IOUserClass; add one to IOKitPersonalities"
                    : "names no class of a SCSI controller (IOUserClass is \(all.map(\.userClass).joined(separator: ", "))); "
                        + "name a subclass of IOUserSCSIParallelInterfaceController")
        }
        guard controllers.count == 1 else {
            throw DriverStartError(
                call: "Info.plist",
                reason: "has several personalities of SCSI controllers "
                    + "(\(controllers.map(\.name).joined(separator: ", "))); nbdext runs one, so leave the others out")
        }
        self.controller = controller
        others = all.filter {
            $0.name != controller.name && bundle.kind(ofClass: $0.userClass) == NBDEXT_CLASS_SERVICE
        }
    }
}
