import Diagnostics
import DriverHost
import EmulatedMachine
import Glibc
import HBAProfiles
import Members
import NBDServer
import ParallelInterface
import Platform

extension MachineConfiguration {
    /// A configuration for a profile, and for a mode that fits it.
    ///
    /// - Parameters:
    ///   - mode: nil for the profile's: KEXT, or bundled.
    ///   - profileNameOrPath: nil for the default profile of the mode.
    /// - Throws: `ProfileError`; `OperationError` when mode and profile do not fit.
    package init(
        directories: [String], mode: DriverMode?, profileNameOrPath: String?, policy: ConstraintPolicy,
        engine: MemberEngineKind, log: DiagnosisLog
    ) throws {
        let name = profileNameOrPath ?? (mode == .kext ? "kext-512k" : "default")
        let profile = try HBAProfile(nameOrPath: name)
        if let mode, (mode == .kext) != (profile.driver == .kext) {
            throw OperationError(
                "the profile \(name) is for a \(profile.driver.rawValue), --mode \(mode.rawValue) is not; leave one of "
                    + "them out")
        }
        self.init(
            directories: directories, mode: mode ?? (profile.driver == .kext ? .kext : .bundled), profile: profile,
            policy: policy, engine: engine, log: log)
    }
}

extension SystemUser {
    /// The user with a name.
    ///
    /// - Throws: `OperationError` when there is none.
    package static func named(_ name: String) throws -> SystemUser {
        guard let user = SystemUser(name: name) else {
            throw OperationError("there is no user \(name); name an existing one with --driver-user")
        }
        return user
    }
}

extension TaskTrace {
    /// A trace to a file, or to standard output.
    ///
    /// - Parameter path: "-" for standard output.
    /// - Throws: `OSError`.
    package static func open(_ path: String, format: Format) throws -> TaskTrace {
        TaskTrace(descriptor: path == "-" ? STDOUT_FILENO : try OpenDirectory.openOutput(path: path), format: format)
    }
}

extension ServerAddress {
    /// The addresses that a command line names.
    ///
    /// - Parameters:
    ///   - sockets: paths of Unix sockets.
    ///   - hostsAndPorts: as `init(hostAndPort:)` reads them.
    /// - Throws: `OperationError` when one cannot be read, or when there is none.
    package static func all(sockets: [String], hostsAndPorts: [String]) throws -> [ServerAddress] {
        var addresses = sockets.map { ServerAddress.unix(path: $0) }
        for text in hostsAndPorts {
            guard let address = ServerAddress(hostAndPort: text) else {
                throw OperationError("\(text) is not HOST:PORT; use something like --listen localhost:10809")
            }
            addresses.append(address)
        }
        guard !addresses.isEmpty else {
            throw OperationError("nowhere to listen; give --socket PATH, --listen HOST:PORT, or both")
        }
        return addresses
    }
}
