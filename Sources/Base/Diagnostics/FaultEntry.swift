/// The catalogue's entry for one fault.
public struct FaultEntry: Sendable {
    /// The mistake, as a sentence without a full stop.
    public let title: String
    /// The broken rule.
    public let rule: String
    /// The symptom on macOS.
    public let symptom: String
    /// The smallest change that cures it.
    public let fix: String
    /// Where the rule comes from.
    public let reference: String

    init(_ title: String, rule: String, symptom: String, fix: String, reference: String) {
        self.title = title
        self.rule = rule
        self.symptom = symptom
        self.fix = fix
        self.reference = reference
    }
}

extension DriverFault {
    /// The catalogue's entry.
    public var entry: FaultEntry {
        Self.lifeCycleEntries[self] ?? Self.completionEntries[self] ?? Self.bundleEntries[self] ?? Self.dataEntries[
            self]!
    }
}

/// Sources that several entries name.
enum Reference {
    static let header = "IOUserSCSIParallelInterfaceController.iig (public DriverKit header)"
    static let forum = "Apple developer forum, DTS answers on SCSIControllerDriverKit"
    static let parallelFamily = "IOSCSIParallelFamily-352, IOSCSIParallelInterfaceController.cpp"
    static let storageFamily = "IOStorageFamily-337.100.1, IOBlockStorageDriver.cpp"
    static let samFamily = "IOSCSIArchitectureModelFamily-139.0.2"
    static let field = "reports of third-party DriverKit storage drivers"
}
