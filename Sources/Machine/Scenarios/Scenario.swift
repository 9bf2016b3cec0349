import Diagnostics
import DriverHost
import EmulatedMachine
import HBAProfiles
import ParallelInterface
import RAIDDriver
import SCSIControllerDriverKit

/// A machine with one mistake in its driver or in its configuration, and what is asked of it.
///
/// The mistake is found by the detectors that watch every driver; none of them knows of scenarios.
package struct Scenario: Sendable {
    /// What a client does once the machine runs.
    package enum Workload: Sendable {
        /// A write, a read of it, a flush.
        case basic
        /// One write of so many bytes whose memory begins so many bytes behind a page boundary.
        case write(byteCount: Int, memoryOffset: Int)
        /// Two writes to the same blocks, and one elsewhere, at once.
        case overlappingWrites
        /// A write and a flush with the card's write cache on; then the power fails, and the write is read.
        case powerCut
        /// A write that nobody waits for; then the driver is stopped.
        case stopWithTaskOutstanding
        /// The driver is stopped.
        case stop
    }

    package var fault: DriverFault
    /// As it is named on the command line.
    package var name: String
    /// What the driver does wrong.
    package var mistake: String
    package var mode = DriverMode.bundled
    package var driverClass: IOUserSCSIParallelInterfaceController.Type = RAIDDriver.self
    package var profile = "default"
    package var policy = ConstraintPolicy.macos
    package var workload = Workload.basic
    /// The driver ends the process.
    package var crashes = false
    /// Changes the profile.
    package var change: @Sendable (inout HBAProfile) -> Void = { _ in }
    package var disksAreRemovable = false
    /// Faults of their own that come with this one.
    package var companions: Set<DriverFault> = []
    /// The driver's queues wait for each other.
    package var isAboutQueues: Bool {
        switch fault {
        case .createOnDefaultQueue, .noAuxiliaryQueue, .otherWorkOnAuxiliaryQueue, .interruptsOnDefaultQueue,
            .waitInStartController, .waitInStop, .queueCycle:
            true
        default: false
        }
    }

    init(_ fault: DriverFault, _ name: String, _ mistake: String) {
        self.fault = fault
        self.name = name
        self.mistake = mistake
    }

    /// A scenario with a faulty driver.
    init(
        _ fault: DriverFault, _ name: String, _ mistake: String,
        _ driverClass: IOUserSCSIParallelInterfaceController.Type, _ workload: Workload = .basic
    ) {
        self.init(fault, name, mistake)
        self.driverClass = driverClass
        self.workload = workload
    }

    /// The same in another mode.
    func mode(_ mode: DriverMode) -> Scenario {
        var copy = self
        copy.mode = mode
        return copy
    }

    /// Whether the card has its write cache.
    var usesWriteCache: Bool {
        if case .powerCut = workload { true } else { false }
    }

    /// The same, ending with a crash.
    func crashing() -> Scenario {
        var copy = self
        copy.crashes = true
        return copy
    }

    /// The same, with another fault that the configuration has as well.
    func with(_ companion: DriverFault) -> Scenario {
        var copy = self
        copy.companions.insert(companion)
        return copy
    }

    /// The same under the strict policy.
    func strict() -> Scenario {
        var copy = self
        copy.policy = .strict
        return copy
    }

    /// All scenarios, in the catalogue's order.
    package static let all = (lifeCycle + completion + data).sorted { $0.fault.rawValue < $1.fault.rawValue }

    /// The faults without a scenario, each with the reason.
    package static let leftOut: [(fault: DriverFault, reason: String)] = [
        (
            .retainOnInvalidObject,
            "a Swift reference is never uninitialised, so there is nothing invalid to retain; a driver that gets there by "
                + "unsafe code crashes, and is reported as B51"
        ),
        (
            .bundledActionChanged,
            "the mistake would be the kernel's: one action object is made at start and passed with every call"
        ),
        (.mediaChangeNotAnnounced, "the card's disks are arrays; there is no medium to take out"),
    ]
}
