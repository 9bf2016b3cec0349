import Diagnostics
import SCSIControllerDriverKit

/// Looks for mistakes in personalities that macOS punishes without a word: the personality never matches.
///
/// Source: IOCatalogue and IOUserServer of xnu; reports of DriverKit developers.
package struct PersonalityCheck: Sendable {
    /// The kernel's class that stands for a DEXT of the family.
    private static let proxyClass = "IOUserSCSIParallelInterfaceController"
    /// The KEXT that has this class.
    private static let family = "com.apple.iokit.IOSCSIParallelFamily"

    /// What a check has to know of a class of the driver's sources.
    package struct DriverClass: Sendable, Equatable {
        /// Whether the family's class is among its base classes.
        package var isController: Bool
        /// Whether it, or one of the driver's base classes of it, overrides NewUserClient.
        package var hasUserClients: Bool

        package init(isController: Bool, hasUserClients: Bool) {
            self.isController = isController
            self.hasUserClients = hasUserClients
        }
    }

    private let info: InfoPlist
    private let classes: [String: DriverClass]

    /// - Parameters:
    ///   - info: the bundle's property list.
    ///   - classes: the classes of the driver's interface files, by name.
    package init(_ info: InfoPlist, classes: [String: DriverClass]) {
        self.info = info
        self.classes = classes
    }

    /// All mistakes, ordered by the personalities' names.
    package func faults() -> [Diagnosis] {
        info.personalities.sorted { $0.key < $1.key }.flatMap { faults(of: $0.key, $0.value) }
    }

    /// Whether a personality has a controller's class. Without one there is nothing that this machine could run.
    package var hasController: Bool {
        info.personalities.values.contains { text($0, "IOUserClass").flatMap { classes[$0] }?.isController == true }
    }

    private func faults(of name: String, _ personality: OSDictionary) -> [Diagnosis] {
        var found: [Diagnosis] = []
        func dropped(_ detail: String) { found.append(Diagnosis(.personalityDropped, "\(name): \(detail)")) }
        for key in ["IOClass", "IOUserClass", "IOProviderClass", "IOUserServerName"] where text(personality, key) == nil
        {
            dropped("\(key) is missing")
        }
        guard let userClass = text(personality, "IOUserClass") else { return found }
        guard let driverClass = classes[userClass] else {
            dropped("IOUserClass is \(userClass), and no interface file declares this class")
            return found
        }
        if driverClass.isController {
            if let proxy = text(personality, "IOClass"), proxy != Self.proxyClass {
                dropped("IOClass is \(proxy); a controller's is \(Self.proxyClass)")
            }
            let kernel = text(personality, "CFBundleIdentifierKernel")
            if kernel != Self.family {
                dropped("CFBundleIdentifierKernel is \(kernel ?? "missing"); the class is in \(Self.family)")
            }
        } else if text(personality, "IOClass") == Self.proxyClass {
            dropped("IOClass is \(Self.proxyClass), but \(userClass) is no controller; use IOUserService")
        }
        if personality["UserClientProperties"] != nil, !driverClass.hasUserClients {
            found.append(
                Diagnosis(
                    .userClientWithoutFactory,
                    "\(name): UserClientProperties is there, but \(userClass) does not override NewUserClient"))
        }
        return found
    }

    private func text(_ personality: OSDictionary, _ key: String) -> String? {
        personality[key]?.stringValue.flatMap { $0.isEmpty ? nil : $0 }
    }
}
