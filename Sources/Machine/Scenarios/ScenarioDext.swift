import DextBuilder
import DextBundle
import Glibc
import Platform
import RAIDDriver

/// The language that a scenario's driver is written in.
package enum ScenarioLanguage: String, CaseIterable, Sendable {
    case swift
    case cPlusPlus = "c++"
}

/// The driver of all scenarios in C++: the resource Dext, which is built when it is needed.
package enum ScenarioDext {
    /// The property of the personality that names the driver's mistake. Without it the driver makes none.
    static let mistakeKey = "Mistake"

    /// Builds what has changed of the bundle, in the user's directory for caches.
    /// - Parameter report: called for each event of the build.
    /// - Throws: `OperationError` when there is no compiler, or no room for the bundle.
    package static func build(
        report: @escaping @Sendable (DextBuild.Event) -> Void
    ) throws(OperationError) -> DextBundle {
        let sources = try Directory.resource("Dext", of: "Scenarios", installedAs: "scenarios")
        guard let caches = Directory.ofCaches else {
            throw OperationError("there is no place to build the driver in; set HOME or XDG_CACHE_HOME")
        }
        let directory = "\(caches)/scenarios"
        do { try Directory.make(directory) } catch { throw OperationError("\(error)", cause: error) }
        let options = try DextBuildOptions(
            project: ProjectFiles(below: sources), output: "\(directory)/RAIDDext\(DextBundle.suffix)")
        let build = DextBuild(options, toolchain: try .find(), kit: try .find(), report: report)
        // Two commands at a time would write to the same files.
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(descriptor) }
        while flock(descriptor, LOCK_EX) != 0 && errno == EINTR {}
        _ = try build.run()
        return try DextBundle(path: options.output)
    }
}

extension Scenario {
    /// Why no driver in C++ makes the mistake; nil if one does.
    package var reasonWithoutDext: String? {
        if fault == .queueNameOnTaskEntry { return "the build of a bundle refuses it (`nbdext dext build`)" }
        let isDriverAtFault = driverClass != RAIDDriver.self
        return isDriverAtFault ? nil : "the configuration is at fault, whatever language the driver is in"
    }
}
