import DriverHost
import Statistics

/// What people are shown of the driver.
extension ParallelController {
    /// The way by which tasks reach the driver, and the number that it has. Any thread.
    package func driverSnapshot() -> DriverSnapshot {
        let driver = parts.host.hosted
        var snapshot = DriverSnapshot()
        snapshot.mode = driver.mode.rawValue
        snapshot.host = driver.place.rawValue
        snapshot.restartCount = UInt64(driver.restartCount)
        snapshot.taskCount = UInt64(dispatcher.pool.ownedByDriver().count)
        return snapshot
    }

    /// The numbers of tasks in the calls of the driver. Any thread.
    package func bundleSnapshot() -> BundleSnapshot { parts.host.hosted.bundles.snapshot() }

    /// Describes why nothing moves: what each queue does, and every task that the driver has.
    package func dump() -> String {
        let slots = dispatcher.slots
        var lines = ["queues"] + parts.host.picture().map { "  " + $0 }
        let owned = slots.pool.ownedByDriver()
        lines.append("tasks with the driver: \(owned.count) of \(slots.count) slots")
        for task in owned {
            let slot = task.slot
            let seen =
                slots.isInDevice(slot)
                ? "in the device" : slots.commandCount(of: slot) != 0 ? "done by the device" : "not seen by the device"
            lines.append("  slot \(slot): \(slots.describe(slot)), \(slots.pool.route(of: slot)), \(seen)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
