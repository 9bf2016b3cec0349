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

    /// One value that has to be another.
    package struct Change: Codable, Equatable, Sendable {
        /// What takes the value: "UserReportHBAConstraints" and the like.
        package var call: String
        package var key: String
        /// Nil when it is missing now.
        package var old: UInt64?
        package var new: UInt64
    }

    /// Changes that together let the request through.
    package struct Fix: Codable, Equatable, Sendable {
        package var changes: [Change]
        package var reason: String
    }

    package var kind: Kind
    /// "EIO" and the like; nil for success.
    package var errno: String?
    /// The value on the way up: "kIOReturnIOError".
    package var ioReturn: String?
    /// Bytes that were moved.
    package var byteCount: UInt64
    /// The object that the request ends at.
    package var place: String
    /// The fault's name in the catalogue: "B32".
    package var fault: String?
    package var reason: String
    /// Each of them is enough.
    package var fixes: [Fix]

    /// A raw node takes whole blocks only (IOStorageFamily-337.100.1, IOMediaBSDClient.cpp).
    static let rawNodeRefusal = Outcome(
        kind: .failure, errno: "EINVAL", ioReturn: "kIOReturnNotAligned", byteCount: 0, place: "IOMediaBSDClient",
        reason: "a raw node takes whole blocks only, and no other layer sees the request; align it to 512 bytes",
        fixes: [])
}
