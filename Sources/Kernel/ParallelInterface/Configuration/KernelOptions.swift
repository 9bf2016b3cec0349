import Platform

/// The answer of the kernel half to an incomplete configuration of the driver.
package enum ConstraintPolicy: String, Sendable, CaseIterable {
    /// Refuses to start, and says what is wrong and what to change.
    case strict
    /// Starts, as macOS does; requests fail later.
    case macos
}

/// The settings of the kernel half.
package struct KernelOptions: Sendable {
    /// The answer to an incomplete configuration.
    package var policy = ConstraintPolicy.strict
    /// Whether an IOMMU stands between the device and memory, so that any range is one segment for the device.
    package var hasMapper = true
    /// The page size of the emulated machine, bytes: 16384 on Apple silicon, 4096 on Intel.
    package var pageByteCount: UInt64 = 16384
    /// The longest time for a task, below the task's own limit; nil means the task's own limit.
    package var taskTimeoutMilliseconds: UInt32?
    /// The time that a driver has to complete a task after each step of its recovery.
    package var recoveryGraceMilliseconds: UInt64 = 1000
    /// The time after which a call of the driver that has not returned is reported.
    package var slowCallMilliseconds: UInt64 = 5000
    /// The time between two looks at deadlines and calls.
    package var watchdogMilliseconds = 500
    /// The clock for all of these times, and for the driver's waits.
    package var clock = DeadlineClock.machine

    /// Makes the settings of a server.
    package init() {}
}

/// Tells whether the detectors of driver faults on the path of each task are compiled in. A build without them exists
/// to measure their cost. Nothing that protects the server from a driver depends on them.
package enum Detectors {
    #if WITHOUT_DETECTORS
        /// This build is one without detectors.
        package static let areEnabled = false
    #else
        /// This build has the detectors.
        package static let areEnabled = true
    #endif
}
