import SCSIControllerDriverKit

/// A program that runs a DEXT in a process of its own, and what it is given.
package struct DriverProgram: Sendable {
    /// The program's path. Its main function calls `DriverKitMain`.
    package var path: String
    /// The arguments after the path.
    package var arguments: [String]
    /// The user that it runs as; nil for this process's user.
    package var user: SystemUser?
    /// The files that it may open besides the libraries of the system and those beside it.
    package var files: [String] = []
    /// The library that is loaded before all others, such as a sanitizer's runtime; nil for none.
    package var preloaded: String?
    /// Properties that it finds in its personality, besides the profile's.
    package var properties: OSDictionary = [:]

    package init(path: String, arguments: [String] = [], user: SystemUser? = nil) {
        self.path = path
        self.arguments = arguments
        self.user = user
    }

    /// The error for a program that has not called DriverKitMain.
    /// - Parameters:
    ///   - ending: how it ended; nil when it goes on.
    ///   - seconds: the time that it had.
    func isNoDriver(ending: String?, after seconds: Int) -> DriverStartError {
        guard let ending else {
            return DriverStartError(
                call: path, reason: "is not a driver: it has not called DriverKitMain within \(seconds) s")
        }
        guard let preloaded else {
            return DriverStartError(
                call: path, reason: "is not a driver: it \(ending) and did not call DriverKitMain")
        }
        return DriverStartError(
            call: path,
            reason: "\(ending) before its main function, with \(preloaded): this runtime of a sanitizer does not work "
                + "here; build the bundle with another compiler, or without --sanitize")
    }
}
