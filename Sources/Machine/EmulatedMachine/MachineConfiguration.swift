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
    /// After the last target of a driver that brings its own: when none follows within this time, there is none.
    package var settlingMilliseconds = 300

    package init() {}
}

/// What a machine is made of.
package struct MachineConfiguration: Sendable {
    /// The arrays' directories. Without any there is no card, and the driver brings its own targets.
    package var directories: [String]
    /// What the arrays are called, in the order of their directories; those behind the last one have their own names.
    package var names: [String] = []
    /// The arrays are the logical units of one target, instead of a target each.
    package var sharesTarget = false
    package var mode: DriverMode
    package var profile: HBAProfile
    /// The DEXT's class; not used in KEXT mode.
    package var driverClass: IOUserSCSIParallelInterfaceController.Type = RAIDDriver.self
    package var kernelOptions: KernelOptions
    /// The program that runs the DEXT in a process of its own; nil runs it in this process.
    package var driverExecutable: String?
    /// What that program is started with.
    package var driverArguments: [String] = []
    /// Whose rights that program has; nil for those of this process.
    package var driverUser: SystemUser?
    /// What that program finds in its personality beside what the profile says.
    package var driverProperties: OSDictionary = [:]
    /// How long each call of that program may take while it starts.
    package var driverCallMilliseconds = 60_000
    package var engine: MemberEngineKind
    package var readOnly = false
    package var force = false
    /// How long an array may be suspended that has lost too many members on other servers, seconds.
    package var lostSeconds = 0
    package var trace: TaskTrace?
    package var timeouts = TargetTimeouts()
    /// Stages of large writes end where stripes end.
    package var alignsStages = false
    /// The card's volatile write cache; 0 for none.
    package var writeCacheByteCount = 0
    /// The kernel-side cache of each buffered device; 0 for no buffered devices.
    package var bufferCacheByteCount = 0
    /// The disks say that their media can be taken out.
    package var disksAreRemovable = false
    /// Gets the driver's faults.
    package var log: DiagnosisLog
    /// Hears what the start does, and can end it.
    package var startUp = StartUp()

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
        guard let driverExecutable else {
            return InProcessDextHost(
                mode: mode, driverClass: driverClass, function: card, personality: profile.personality, log: log)
        }
        return try ProcessDextHost(
            executable: driverExecutable, arguments: driverArguments, user: driverUser, mode: mode, function: card,
            personality: profile.personality.merging(driverProperties) { $1 }, arena: arena, log: log,
            callMilliseconds: driverCallMilliseconds, slowCallMilliseconds: kernelOptions.slowCallMilliseconds,
            watchdogMilliseconds: kernelOptions.watchdogMilliseconds)
    }
}
