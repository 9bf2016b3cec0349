import Statistics

/// Figures on the driver.
extension ParallelController {
    /// The way by which tasks reach the driver, and the number that it has. Any thread.
    package func driverSnapshot() -> DriverSnapshot {
        var snapshot = DriverSnapshot()
        snapshot.mode = host.hosted.mode.rawValue
        snapshot.host = host.hosted.place.rawValue
        snapshot.restartCount = UInt64(host.hosted.restartCount)
        pool.forEachWithDriver { _ in snapshot.taskCount += 1 }
        return snapshot
    }

    /// The numbers of tasks in the calls of the driver. Any thread.
    package func bundleSnapshot() -> BundleSnapshot { host.hosted.bundles.snapshot() }
}
