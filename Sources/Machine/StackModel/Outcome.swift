import Diagnostics

/// How a request ends, and what to change when it fails.
package struct Outcome: Codable, Equatable, Sendable {
    /// How a request ends.
    package enum Kind: String, Codable, Sendable {
        case success
        case failure
        /// There is no disk: the driver does not come up.
        case noDisk = "no disk"
    }

    /// A value to change.
    package struct Change: Codable, Equatable, Sendable {
        /// Where the value is set: "UserReportHBAConstraints", for example.
        package var call: String
        /// The value's name there.
        package var key: String
        /// The value now; nil when it is missing.
        package var old: UInt64?
        /// The value to set.
        package var new: UInt64
    }

    /// Changes that together let the request through.
    package struct Fix: Codable, Equatable, Sendable {
        /// The changes; all of them are needed.
        package var changes: [Change]
        /// What they achieve.
        package var reason: String
    }

    /// How the request ends.
    package var kind: Kind
    /// "EIO" and the like; nil for success.
    package var errno: String?
    /// The value on the way up: "kIOReturnIOError".
    package var ioReturn: String?
    /// Bytes that were moved.
    package var byteCount: UInt64
    /// The object at which the request ends.
    package var place: String
    /// The fault's name in the catalogue: "B32".
    package var fault: String?
    /// Why it ends so.
    package var reason: String
    /// The fixes; each alone is enough.
    package var fixes: [Fix]

    /// A raw node takes whole blocks only (IOStorageFamily-337.100.1, IOMediaBSDClient.cpp).
    static let rawNodeRefusal = Outcome(
        kind: .failure, errno: "EINVAL", ioReturn: "kIOReturnNotAligned", byteCount: 0, place: "IOMediaBSDClient",
        reason: "a raw node takes whole blocks only, and no other layer sees the request; align it to 512 bytes",
        fixes: [])
}
