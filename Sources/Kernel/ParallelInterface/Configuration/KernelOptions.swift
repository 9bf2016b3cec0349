import Platform

/// What the kernel half does with a driver's configuration that is incomplete.
package enum ConstraintPolicy: String, Sendable, CaseIterable {
    /// Refuses to start, and says what is wrong and what to change.
    case strict
    /// Starts, as macOS does; requests fail later.
    case macos
}

/// How the kernel half behaves.
package struct KernelOptions: Sendable {
    package var policy = ConstraintPolicy.strict
    /// Whether an IOMMU stands between the device and memory, so that any range is one segment for the device.
    package var hasMapper = true
    /// The page size of the machine that is emulated: 16384 on Apple silicon, 4096 on Intel.
    package var pageByteCount: UInt64 = 16384
    /// The longest that a task may take, whatever its own limit is; nil means its own limit.
    package var taskTimeoutMilliseconds: UInt32?
    /// How long a driver has to complete a task after it was told to abort it.
    package var recoveryGraceMilliseconds: UInt64 = 1000
    /// After how long a call of the driver is reported that has not returned.
    package var slowCallMilliseconds: UInt64 = 5000
    /// How often deadlines and calls are looked at.
    package var watchdogMilliseconds = 500
    /// What all of that goes by. Whoever turns it has a `Watchdog` of their own; the controller starts none then.
    package var clock = DeadlineClock.machine

    package init() {}
}

/// Whether the detectors of driver faults on the way of each task are compiled in. A build without them exists to
/// measure what they cost. Nothing that protects the server from a driver is one of them.
package enum Detectors {
    #if WITHOUT_DETECTORS
        package static let areEnabled = false
    #else
        package static let areEnabled = true
    #endif
}
