// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CEscape
import Glibc
import RAIDDriver
import SCSIControllerDriverKit

/// The reference driver, which first tries to get at what is none of its business, and prints what came of it. Its
/// arguments are a member's file and the server's control socket.
final class EscapingDriver: RAIDDriver, @unchecked Sendable {
    override func UserStartController() -> kern_return_t {
        let arguments = CommandLine.arguments
        var number: Int32 = 0
        while let name = nbdext_escape_name(number) {
            let status = nbdext_escape(number, arguments[2], arguments[3])
            print("attempt: \(String(cString: name)): \(status == 0 ? "SUCCEEDED" : "refused, \(status)")")
            number += 1
        }
        print("attempts: \(number)")
        return super.UserStartController()
    }
}
