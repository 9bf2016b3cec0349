import Statistics

/// What there is to tell of the driver.
extension ParallelController {
    /// How tasks reach the driver, and what it has. Any thread.
    package func driverSnapshot() -> DriverSnapshot {
        var snapshot = DriverSnapshot()
        snapshot.mode = host.mode.rawValue
        snapshot.host = host.place.rawValue
        snapshot.restartCount = UInt64(host.restartCount)
        pool.forEachWithDriver { _ in snapshot.taskCount += 1 }
        return snapshot
    }

    /// How many tasks each call of the driver carried. Any thread.
    package func bundleSnapshot() -> BundleSnapshot { host.bundles.snapshot() }
}
