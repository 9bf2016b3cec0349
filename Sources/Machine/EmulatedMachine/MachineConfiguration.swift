import Diagnostics
import DriverHost
import HBAProfiles
import HardwareBus
import Members
import ParallelInterface
import Platform
import RAIDDriver
import SCSIControllerDriverKit

/// How long the machine waits for its disks.
package struct TargetTimeouts: Sendable {
    /// For the driver to create all targets.
    package var creationMilliseconds = 60_000
    /// For a disk to become ready.
    package var readyMilliseconds = 45_000
    /// For a driver that brings its own targets: the pause after a target, after which no other target is expected.
    package var settlingMilliseconds = 300

    package init() {}
}

/// The parts and options of a machine.
package struct MachineConfiguration: Sendable {
    /// The arrays' directories. Without any there is no card, and the driver brings its own targets.
    package var directories: [String]
    /// The arrays' export names, in the order of their directories. The remaining arrays have their own names.
    package var names: [String] = []
    /// Whether the arrays are the logical units of one target, instead of a target each.
    package var sharesTarget = false
    /// What the driver is, and by which calls tasks reach it.
    package var mode: DriverMode
    /// What the driver reports of its HBA, and the machine it runs on.
    package var profile: HBAProfile
    /// The DEXT's class; not used in KEXT mode.
    package var driverClass: IOUserSCSIParallelInterfaceController.Type = RAIDDriver.self
    /// The options of the HBA's kernel half.
    package var kernelOptions: KernelOptions
    /// The program that runs the DEXT in a process of its own; nil runs it in this process.
    package var driver: DriverProgram?
    /// The time limit of each call of that program while it starts.
    package var driverCallMilliseconds = 60_000
    /// How member I/O is executed.
    package var engine: MemberEngineKind
    /// Whether the arrays are opened read-only.
    package var readOnly = false
    /// Whether arrays are opened that would be refused without it (`ArrayStore.open`).
    package var force = false
    /// How long an array may stay suspended after it has lost too many members on other servers, seconds.
    package var lostSeconds = 0
    /// Records every task; nil for no trace.
    package var trace: TaskTrace?
    /// How long the machine waits for its disks.
    package var timeouts = TargetTimeouts()
    /// Whether stages of large writes end where stripes end.
    package var alignsStages = false
    /// The size of the card's volatile write cache; 0 for none.
    package var writeCacheByteCount = 0
    /// The size of each buffered device's cache in the kernel; 0 for no buffered devices.
    package var bufferCacheByteCount = 0
    /// Whether the disks report removable media.
    package var disksAreRemovable = false
    /// Collects the driver's faults.
    package var log: DiagnosisLog
    /// Follows the start, and can cancel it.
    package var startUp = StartUp()

    /// Makes a configuration. The kernel's options are the profile's.
    package init(
        directories: [String], mode: DriverMode, profile: HBAProfile, policy: ConstraintPolicy,
        engine: MemberEngineKind, log: DiagnosisLog
    ) {
        self.directories = directories
        self.mode = mode
        self.profile = profile
        kernelOptions = profile.kernelOptions(policy: policy)
        self.engine = engine
        self.log = log
    }

    func makeHost(card: PCIFunction, arena: DataArena) throws -> any DriverHost {
        if mode == .kext {
            return KextHost(driverClass: RAIDKext.self, function: card, personality: profile.personality, log: log)
        }
        guard let driver else {
            return InProcessDextHost(
                mode: mode, driverClass: driverClass, function: card, personality: profile.personality, log: log)
        }
        return try ProcessDextHost(
            program: driver, mode: mode, function: card,
            personality: profile.personality.merging(driver.properties) { $1 }, arena: arena, log: log,
            callMilliseconds: driverCallMilliseconds, slowCallMilliseconds: kernelOptions.slowCallMilliseconds,
            watchdogMilliseconds: kernelOptions.watchdogMilliseconds)
    }
}
