import Glibc

/// A failed system call: the attempt, and the system's reason.
package struct OSError: Error, CustomStringConvertible, Equatable {
    /// The errno, positive.
    package let code: Int32
    /// The attempt, as it fits after "cannot": "open /dev/x".
    package let doing: String

    package init(code: Int32, doing: String) {
        self.code = code
        self.doing = doing
    }

    package var description: String { "cannot \(doing): \(String(cString: strerror(code)))" }
}
