import Statistics

extension StatisticsSnapshot {
    /// The snapshot in Prometheus' text exposition format.
    package var prometheus: String {
        var text = PrometheusText()
        writeExports(to: &text)
        writeDriver(to: &text)
        writeArrays(to: &text)
        return text.text
    }

    private func writeExports(to text: inout PrometheusText) {
        func each(_ name: String, _ help: String, _ value: (RequestKindSnapshot) -> UInt64) {
            text.begin(name, type: "counter", help: help)
            for export in exports {
                for (kind, counts) in export.kinds.pairs {
                    text.sample(name, [("export", export.name), ("kind", kind.name)], value(counts))
                }
            }
        }
        each("nbdext_export_operations_total", "Requests that ended.") { $0.operationCount }
        each("nbdext_export_bytes_total", "Bytes that requests moved.") { $0.byteCount }
        each("nbdext_export_errors_total", "Requests that failed.") { $0.errorCount }
        let depth = "nbdext_export_queue_depth"
        text.begin(depth, type: "gauge", help: "Requests under way.")
        for export in exports { text.sample(depth, [("export", export.name)], export.queueDepth) }
        let latency = "nbdext_export_latency_seconds"
        text.begin(latency, type: "histogram", help: "From a request's arrival at the block layer to its end.")
        for export in exports {
            for (kind, counts) in export.kinds.pairs {
                text.histogram(
                    latency, [("export", export.name), ("kind", kind.name)],
                    buckets: counts.latency.counts.enumerated().map { index, count in
                        (LatencyBuckets.upperBound(index).map { PrometheusText.seconds(nanoseconds: $0) }, count)
                    }, sum: PrometheusText.seconds(nanoseconds: counts.latency.sumNanoseconds))
            }
        }
    }

    private func writeDriver(to text: inout PrometheusText) {
        let calls = "nbdext_driver_call_tasks"
        text.begin(calls, type: "histogram", help: "Tasks in a call of the driver.")
        text.histogram(
            calls,
            buckets: zip(BundleCounters.ranges, bundles.callCounts).map { ("\($0.upperBound)", $1) },
            sum: "\(bundles.taskCount)")
        text.begin("nbdext_driver_restarts_total", type: "counter", help: "How often the driver was started again.")
        text.sample("nbdext_driver_restarts_total", [], driver.restartCount)
        text.begin("nbdext_driver_tasks", type: "gauge", help: "Tasks that the driver has.")
        text.sample("nbdext_driver_tasks", [], driver.taskCount)
        text.begin("nbdext_driver_info", type: "gauge", help: "How tasks reach the driver, and where it runs.")
        text.sample("nbdext_driver_info", [("mode", driver.mode), ("host", driver.host)], 1)
    }

    private func writeArrays(to text: inout PrometheusText) {
        func each(_ name: String, _ help: String, _ value: (MemberKindSnapshot) -> UInt64) {
            text.begin(name, type: "counter", help: help)
            for array in arrays {
                for member in array.members {
                    for (kind, counts) in member.kinds.pairs {
                        let labels = [("export", array.name), ("member", "\(member.role)"), ("kind", kind.name)]
                        text.sample(name, labels, value(counts))
                    }
                }
            }
        }
        each("nbdext_member_operations_total", "Operations on a member file.") { $0.operationCount }
        each("nbdext_member_bytes_total", "Bytes of operations on a member file.") { $0.byteCount }
        let corrected = "nbdext_member_corrected_read_errors_total"
        text.begin(
            corrected, type: "counter", help: "Blocks that a member could not read and that were rewritten.")
        for array in arrays {
            for member in array.members {
                text.sample(
                    corrected, [("export", array.name), ("member", "\(member.role)")], member.correctedReadErrorCount)
            }
        }
        let missing = "nbdext_member_missing"
        text.begin(missing, type: "gauge", help: "1 for a member that the array runs without.")
        for array in arrays {
            for member in array.members {
                text.sample(
                    missing, [("export", array.name), ("member", "\(member.role)")],
                    array.missingMembers.contains(member.role) ? 1 : 0)
            }
        }
        let info = "nbdext_array_info"
        text.begin(info, type: "gauge", help: "Where the array is on the HBA, and its RAID level.")
        for array in arrays {
            text.sample(
                info,
                [
                    ("export", array.name), ("target", "\(array.target)"), ("lun", "\(array.logicalUnit)"),
                    ("level", "\(array.level)"),
                ], 1)
        }
        let state = "nbdext_array_state"
        text.begin(state, type: "gauge", help: "1 for the state that the array is in.")
        for array in arrays {
            for name in ArrayHealth.allCases {
                text.sample(
                    state, [("export", array.name), ("state", name.rawValue)], array.state == name ? 1 : 0)
            }
        }
        let updates = "nbdext_raid5_updates_total"
        text.begin(updates, type: "counter", help: "RAID 5 updates, by what they had to read first.")
        for array in arrays {
            guard let writes = array.writes else { continue }
            for (kind, count) in [
                ("full_stripe", writes.fullStripe), ("read_modify", writes.readModify),
                ("reconstruct", writes.reconstruct),
            ] { text.sample(updates, [("export", array.name), ("kind", kind)], count) }
        }
    }
}
