import Glibc
import Members
import Platform

extension ArrayStore {
    /// What an open array needs from outside. The array itself reads no clock and prints nothing, so that a simulation
    /// can run it.
    package struct Environment: Sendable {
        /// Returns the seconds since 1970, for superblocks. Any thread.
        package let clock: @Sendable () -> UInt64
        /// Takes a message for the user.
        package let report: MessageSink

        /// Returns a random number, for marks. Any thread.
        package let random: @Sendable () -> UInt64

        /// Makes an empty bay for a member that can be replaced.
        package let makeBay: @Sendable () throws(OSError) -> any RoleBay
        /// The progress of the start for which the array is opened.
        package var startUp: StartUp

        package init(
            clock: @escaping @Sendable () -> UInt64, report: @escaping MessageSink,
            startUp: StartUp = StartUp(),
            random: @escaping @Sendable () -> UInt64 = { .random(in: .min ... .max) },
            makeBay: @escaping @Sendable () throws(OSError) -> any RoleBay = { () throws(OSError) in try MemberBay()
            }
        ) {
            self.clock = clock
            self.report = report
            self.random = random
            self.makeBay = makeBay
            self.startUp = startUp
        }

        /// The system's clock and random numbers, and messages to standard error.
        package static let system = Environment(
            clock: { UInt64(time(nil)) }, report: { writeMessage($0, level: $1) })

        /// The same, for a start that can be watched and cancelled.
        package static func system(startingFor startUp: StartUp) -> Environment {
            var environment = system
            environment.startUp = startUp
            return environment
        }
    }
}
