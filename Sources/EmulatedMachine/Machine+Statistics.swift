import Platform
import Statistics

/// What the machine counts.
extension Machine {
    /// Everything that was counted so far. Any thread.
    package func statistics() -> StatisticsSnapshot {
        var snapshot = StatisticsSnapshot()
        snapshot.nanoseconds = monotonicNanoseconds()
        snapshot.exports =
            devices.map { $0.counters.snapshot(name: $0.info.name) }
            + bufferedDevices.map { $0.counters.snapshot(name: $0.info.name) }
        snapshot.bundles = controller.bundleSnapshot()
        if let card { snapshot.arrays = devices.indices.map { card.snapshot(array: $0) } }
        snapshot.driver = controller.driverSnapshot()
        return snapshot
    }
}
