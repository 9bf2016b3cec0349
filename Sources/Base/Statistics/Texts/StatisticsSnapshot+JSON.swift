/// A snapshot as one JSON object, and back.
extension StatisticsSnapshot {
    package var json: JSONValue {
        .object([
            ("monotonic_nanoseconds", .count(nanoseconds)),
            ("exports", .array(exports.map(\.json))),
            (
                "bundles",
                .object(zip(BundleCounters.names, bundles.callCounts).map { ($0, .count($1)) })
            ),
            ("bundled_tasks", .count(bundles.taskCount)),
            ("arrays", .array(arrays.map(\.json))),
            (
                "driver",
                .object([
                    ("mode", .string(driver.mode)), ("host", .string(driver.host)),
                    ("restarts", .count(driver.restartCount)), ("tasks", .count(driver.taskCount)),
                ])
            ),
        ])
    }

    /// - Returns: nil when that is not what a server of this version says.
    package init?(json: JSONValue) {
        guard let nanoseconds = json["monotonic_nanoseconds"]?.countValue,
            let exports = json["exports"]?.arrayValue, let arrays = json["arrays"]?.arrayValue,
            let bundles = json["bundles"], let driver = json["driver"]
        else { return nil }
        self.nanoseconds = nanoseconds
        self.exports = exports.compactMap { ExportSnapshot(json: $0) }
        self.arrays = arrays.compactMap { ArraySnapshot(json: $0) }
        for (index, name) in BundleCounters.names.enumerated() {
            self.bundles.callCounts[index] = bundles[name]?.countValue ?? 0
        }
        self.bundles.taskCount = json["bundled_tasks"]?.countValue ?? 0
        self.driver.mode = driver["mode"]?.stringValue ?? ""
        self.driver.host = driver["host"]?.stringValue ?? ""
        self.driver.restartCount = driver["restarts"]?.countValue ?? 0
        self.driver.taskCount = driver["tasks"]?.countValue ?? 0
        guard self.exports.count == exports.count, self.arrays.count == arrays.count else { return nil }
    }
}

extension ExportSnapshot {
    fileprivate var json: JSONValue {
        .object(
            [("name", .string(name)), ("queue_depth", .count(queueDepth))]
                + zip(ExportCounters.kinds, kinds).map { ($0, $1.json) })
    }

    fileprivate init?(json: JSONValue) {
        guard let name = json["name"]?.stringValue else { return nil }
        self.init(name: name)
        queueDepth = json["queue_depth"]?.countValue ?? 0
        for (index, kind) in ExportCounters.kinds.enumerated() {
            guard let value = json[kind].flatMap({ RequestKindSnapshot(json: $0) }) else { return nil }
            kinds[index] = value
        }
    }
}

extension RequestKindSnapshot {
    /// Buckets are pairs: where one ends (nanoseconds; null for the last one), and how many requests are in it. Those
    /// without requests are left out.
    fileprivate var json: JSONValue {
        let buckets = latency.counts.enumerated().filter { $1 > 0 }.map { index, count in
            JSONValue.array([LatencyBuckets.upperBound(index).map { .count($0) } ?? .null, .count(count)])
        }
        return .object([
            ("operations", .count(operationCount)), ("bytes", .count(byteCount)), ("errors", .count(errorCount)),
            ("latency_sum_nanoseconds", .count(latency.sumNanoseconds)), ("latency_buckets", .array(buckets)),
        ])
    }

    fileprivate init?(json: JSONValue) {
        guard let bytes = json["bytes"]?.countValue, let buckets = json["latency_buckets"]?.arrayValue else {
            return nil
        }
        byteCount = bytes
        errorCount = json["errors"]?.countValue ?? 0
        latency.sumNanoseconds = json["latency_sum_nanoseconds"]?.countValue ?? 0
        for bucket in buckets {
            guard let pair = bucket.arrayValue, pair.count == 2, let count = pair[1].countValue else { return nil }
            let index =
                pair[0].countValue.map { LatencyBuckets.index(nanoseconds: $0) } ?? LatencyBuckets.count - 1
            latency.counts[index] &+= count
        }
    }
}

extension ArraySnapshot {
    fileprivate var json: JSONValue {
        var values: [(String, JSONValue)] = [
            ("name", .string(name)), ("level", .count(UInt64(level))), ("target", .count(UInt64(target))),
            ("lun", .count(UInt64(logicalUnit))), ("state", .string(state.rawValue)),
            ("missing", .array(missingMembers.map { .count(UInt64($0)) })),
        ]
        if let writes {
            values.append(
                (
                    "writes",
                    .object([
                        ("full_stripe", .count(writes.fullStripe)), ("read_modify", .count(writes.readModify)),
                        ("reconstruct", .count(writes.reconstruct)),
                    ])
                ))
        }
        values.append(("members", .array(members.map(\.json))))
        if let job { values.append(("job", job.json)) }
        values.append(("pending_rebuild", .bool(hasPendingRebuild)))
        return .object(values)
    }

    fileprivate init?(json: JSONValue) {
        guard let name = json["name"]?.stringValue, let level = json["level"]?.countValue,
            let state = json["state"]?.stringValue.flatMap({ ArrayHealth(rawValue: $0) }),
            let members = json["members"]?.arrayValue
        else { return nil }
        self.init(name: name, level: Int(clamping: level))
        self.state = state
        target = Int(clamping: json["target"]?.countValue ?? 0)
        logicalUnit = Int(clamping: json["lun"]?.countValue ?? 0)
        missingMembers = (json["missing"]?.arrayValue ?? []).compactMap { $0.countValue.map { Int(clamping: $0) } }
        if let writes = json["writes"] {
            self.writes = WriteSnapshot(
                fullStripe: writes["full_stripe"]?.countValue ?? 0, readModify: writes["read_modify"]?.countValue ?? 0,
                reconstruct: writes["reconstruct"]?.countValue ?? 0)
        }
        self.members = members.map { MemberSnapshot(json: $0) }
        job = json["job"].flatMap { JobSnapshot(json: $0) }
        hasPendingRebuild = json["pending_rebuild"]?.boolValue ?? false
    }
}

extension MemberSnapshot {
    fileprivate var json: JSONValue {
        .object(
            [("member", .count(UInt64(role))), ("corrected_read_errors", .count(correctedReadErrorCount))]
                + zip(MemberCounters.kinds, kinds).map { name, kind in
                    (
                        name,
                        JSONValue.object([
                            ("operations", .count(kind.operationCount)), ("bytes", .count(kind.byteCount)),
                        ])
                    )
                })
    }

    fileprivate init(json: JSONValue) {
        self.init(role: Int(clamping: json["member"]?.countValue ?? 0))
        correctedReadErrorCount = json["corrected_read_errors"]?.countValue ?? 0
        for (index, name) in MemberCounters.kinds.enumerated() {
            kinds[index].operationCount = json[name]?["operations"]?.countValue ?? 0
            kinds[index].byteCount = json[name]?["bytes"]?.countValue ?? 0
        }
    }
}
