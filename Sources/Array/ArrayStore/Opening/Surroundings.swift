import Glibc
import Members
import Platform

extension ArrayStore {
    /// What an array needs from outside while it is open. Nothing here reads a clock or prints by itself, so that a
    /// simulation can run it.
    package struct Surroundings: Sendable {
        /// Seconds since 1970, for superblocks. Any thread.
        package let clock: @Sendable () -> UInt64
        /// Takes a message for people: what was found and done. Any thread.
        package let report: @Sendable (String) -> Void

        /// Random numbers, for marks. Any thread.
        package let random: @Sendable () -> UInt64

        /// Makes what stands for a member that can be replaced. Nothing is behind it.
        package let makeSlot: @Sendable () throws(OSError) -> any RoleSlot
        /// The start that the array is opened for.
        package var startUp: StartUp

        package init(
            clock: @escaping @Sendable () -> UInt64, report: @escaping @Sendable (String) -> Void,
            startUp: StartUp = StartUp(),
            random: @escaping @Sendable () -> UInt64 = { .random(in: .min ... .max) },
            makeSlot: @escaping @Sendable () throws(OSError) -> any RoleSlot = { () throws(OSError) in try MemberSlot()
            }
        ) {
            self.clock = clock
            self.report = report
            self.random = random
            self.makeSlot = makeSlot
            self.startUp = startUp
        }

        /// The system's clock, and standard error.
        package static let system = Surroundings(
            clock: { UInt64(time(nil)) }, report: writeMessage)

        /// The same, for a start that can be watched and cancelled.
        package static func system(startingFor startUp: StartUp) -> Surroundings {
            var surroundings = system
            surroundings.startUp = startUp
            return surroundings
        }
    }
}
