/// The shape of snapshots in JSON, which `top --json` shows and the control socket carries. Counters keep all their
/// bits.
extension StatisticsSnapshot: Codable {
    private enum CodingKeys: String, CodingKey {
        case nanoseconds = "monotonic_nanoseconds"
        case exports, bundles
        case bundledTaskCount = "bundled_tasks"
        case arrays, driver
    }

    /// Reads the shape above.
    ///
    /// - Throws: `DecodingError`.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        nanoseconds = try values.decode(UInt64.self, forKey: .nanoseconds)
        exports = try values.decode([ExportSnapshot].self, forKey: .exports)
        bundles.callCounts = try values.nestedContainer(keyedBy: NameKey.self, forKey: .bundles)
            .decode(by: BundleCounters.names)
        bundles.taskCount = try values.decode(UInt64.self, forKey: .bundledTaskCount)
        arrays = try values.decode([ArraySnapshot].self, forKey: .arrays)
        driver = try values.decode(DriverSnapshot.self, forKey: .driver)
    }

    /// Writes the shape above.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(nanoseconds, forKey: .nanoseconds)
        try values.encode(exports, forKey: .exports)
        var counts = values.nestedContainer(keyedBy: NameKey.self, forKey: .bundles)
        try counts.encode(bundles.callCounts, by: BundleCounters.names)
        try values.encode(bundles.taskCount, forKey: .bundledTaskCount)
        try values.encode(arrays, forKey: .arrays)
        try values.encode(driver, forKey: .driver)
    }
}

extension ExportSnapshot: Codable {
    /// Reads the shape above.
    ///
    /// - Throws: `DecodingError`.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: NameKey.self)
        name = try values.decode(String.self, forKey: "name")
        queueDepth = try values.decode(UInt64.self, forKey: "queue_depth")
        kinds = try values.decodeKinds()
    }

    /// Writes the shape above.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: NameKey.self)
        try values.encode(name, forKey: "name")
        try values.encode(queueDepth, forKey: "queue_depth")
        try values.encode(kinds)
    }
}

/// Buckets are pairs: the bucket's end (nanoseconds; null for the last one) and its requests. Empty buckets are left
/// out.
extension RequestKindSnapshot: Codable {
    private enum CodingKeys: String, CodingKey {
        case operationCount = "operations"
        case byteCount = "bytes"
        case errorCount = "errors"
        case sumNanoseconds = "latency_sum_nanoseconds"
        case buckets = "latency_buckets"
    }

    /// Reads the shape above.
    ///
    /// - Throws: `DecodingError`.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        byteCount = try values.decode(UInt64.self, forKey: .byteCount)
        errorCount = try values.decode(UInt64.self, forKey: .errorCount)
        latency.sumNanoseconds = try values.decode(UInt64.self, forKey: .sumNanoseconds)
        var buckets = try values.nestedUnkeyedContainer(forKey: .buckets)
        while !buckets.isAtEnd {
            var pair = try buckets.nestedUnkeyedContainer()
            let index =
                try pair.decodeNil()
                ? LatencyBuckets.count - 1 : LatencyBuckets.index(nanoseconds: pair.decode(UInt64.self))
            latency.counts[index] &+= try pair.decode(UInt64.self)
        }
    }

    /// Writes the shape above.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(operationCount, forKey: .operationCount)
        try values.encode(byteCount, forKey: .byteCount)
        try values.encode(errorCount, forKey: .errorCount)
        try values.encode(latency.sumNanoseconds, forKey: .sumNanoseconds)
        var buckets = values.nestedUnkeyedContainer(forKey: .buckets)
        for (index, count) in latency.counts.enumerated() where count > 0 {
            var pair = buckets.nestedUnkeyedContainer()
            try pair.encode(LatencyBuckets.upperBound(index))
            try pair.encode(count)
        }
    }
}

extension MemberSnapshot: Codable {
    /// Reads the shape above.
    ///
    /// - Throws: `DecodingError`.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: NameKey.self)
        role = try values.decode(Int.self, forKey: "member")
        correctedReadErrorCount = try values.decode(UInt64.self, forKey: "corrected_read_errors")
        kinds = try values.decodeKinds()
    }

    /// Writes the shape above.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: NameKey.self)
        try values.encode(role, forKey: "member")
        try values.encode(correctedReadErrorCount, forKey: "corrected_read_errors")
        try values.encode(kinds)
    }
}
