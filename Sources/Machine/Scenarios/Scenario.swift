import Diagnostics
import DriverHost
import EmulatedMachine
import HBAProfiles
import ParallelInterface
import RAIDDriver
import SCSIControllerDriverKit

/// A machine with one mistake in its driver or its configuration, and the requests that bring it to light.
///
/// The detectors that watch every driver find the mistake; none of them knows of scenarios.
package struct Scenario: Sendable {
    /// The client's requests, once the machine runs.
    package enum Workload: Sendable {
        /// A write, a read of it, a flush.
        case basic
        /// One write of so many bytes. Its memory begins `memoryOffset` bytes behind a page boundary.
        case write(byteCount: Int, memoryOffset: Int)
        /// Two writes to the same blocks, and one elsewhere, at once.
        case overlappingWrites
        /// A write and a flush with the card's write cache on. Then the power fails, and the data is read.
        case powerCut
        /// A write that the client does not wait for. Then the driver is stopped.
        case stopWithTaskOutstanding
        /// As `basic`; then nothing is asked of the driver for so long.
        case basicThenWait(milliseconds: Int)
        /// The driver is stopped.
        case stop
    }

    /// The fault that the detectors have to report.
    package var fault: DriverFault
    /// Its name on the command line.
    package var name: String
    /// The mistake, as a sentence without its subject, the driver.
    package var mistake: String
    /// The way of tasks to the driver.
    package var mode = DriverMode.bundled
    /// The faulty driver; the reference driver where the configuration is at fault.
    package var driverClass: IOUserSCSIParallelInterfaceController.Type = RAIDDriver.self
    /// The HBA profile's name.
    package var profile = "default"
    /// Whether a machine whose limits do not fit together may start.
    package var policy = ConstraintPolicy.macos
    /// The client's requests.
    package var workload = Workload.basic
    /// Whether the driver crashes, and ends its process.
    package var crashes = false
    /// Changes the profile, for a mistake in the configuration.
    package var change: @Sendable (inout HBAProfile) -> Void = { _ in }
    /// Whether the card shows its disks as removable media.
    package var disksAreRemovable = false
    /// Other faults of the same configuration, which are reported as well.
    package var companions: Set<DriverFault> = []
    /// Whether the fault is one of waits between the driver's queues.
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

    /// A copy in another mode.
    func mode(_ mode: DriverMode) -> Scenario {
        var copy = self
        copy.mode = mode
        return copy
    }

    /// Whether the card's write cache is on.
    var usesWriteCache: Bool {
        if case .powerCut = workload { true } else { false }
    }

    /// A copy that ends with a crash.
    func crashing() -> Scenario {
        var copy = self
        copy.crashes = true
        return copy
    }

    /// A copy with another fault of the same configuration.
    func with(_ companion: DriverFault) -> Scenario {
        var copy = self
        copy.companions.insert(companion)
        return copy
    }

    /// A copy under the strict policy.
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
            "a Swift reference is never uninitialised, so there is nothing invalid to retain; a driver that gets there in "
                + "C++ or by unsafe code crashes, and is reported as B51"
        ),
        (
            .bundledActionChanged,
            "the mistake would be the kernel's: one action object is made at start and passed with every call"
        ),
        (.personalityDropped, bundleReason), (.methodMissing, bundleReason), (.userClientWithoutFactory, bundleReason),
    ]

    private static let bundleReason = "the build of a bundle sees it in the driver's files (`nbdext dext build`)"
}
