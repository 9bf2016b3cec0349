import Glibc
import Platform

/// The reference driver's program, which is installed beside this one.
package enum ReferenceDriver {
    /// The program's path.
    ///
    /// - Throws: `OperationError` when it is not there.
    package static func path() throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer[..<max(count, 0)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let driver = path.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/nbdext-raid-driver"
        guard access(driver, X_OK) == 0 else {
            throw OperationError(
                "the reference driver's program is not at \(driver); build it, or name a driver with --driver")
        }
        return driver
    }
}
