import ArrayStore
import Platform
import Statistics

/// The machine's statistics, and the arrays' states.
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

    /// The state of the array in a directory. Any thread.
    package func status(directory: String) throws -> ArrayDescription {
        let target = try target(directory)
        var description = arrays[target].view.description
        let snapshot = card!.snapshot(array: target)
        if let job = snapshot.job, job.state == .running || job.reason != nil && snapshot.state != .clean {
            description.job = ArrayDescription.Job(
                kind: job.kind, member: job.member, percent: job.percent, isRunning: job.state == .running,
                reason: job.reason)
        }
        for index in description.members.indices {
            guard let role = description.members[index].role else { continue }
            description.members[index].correctedReadErrorCount = snapshot.members[role].correctedReadErrorCount
        }
        return description
    }
}
