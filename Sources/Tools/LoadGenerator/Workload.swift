/// The kind of requests of a load.
package struct Workload: Sendable, Equatable {
    /// Where the next request goes.
    package enum Order: Sendable {
        /// To any block of the export.
        case random
        /// Behind the previous request. Each connection has its own part of the export.
        case sequential
    }

    /// For people: "4 KiB random read".
    package var name: String
    /// Bytes of each request.
    package var blockByteCount: Int
    /// Where each request goes.
    package var order: Order
    /// The percentage of reads; the other requests are writes.
    package var readPercent: Int

    package init(_ name: String, blockByteCount: Int, order: Order, readPercent: Int) {
        self.name = name
        self.blockByteCount = blockByteCount
        self.order = order
        self.readPercent = readPercent
    }
}

/// The number of requests under way at a time.
package struct LoadDepth: Sendable, Equatable {
    /// The most requests of one connection: one call sends them all, with two of at most 1024 vectors (IOV_MAX) for
    /// each.
    package static let depthMax = 512

    /// Connections that are open at the same time.
    package var connectionCount: Int
    /// Requests under way on each connection.
    package var depth: Int

    package init(connectionCount: Int, depth: Int) {
        precondition(connectionCount > 0 && depth > 0 && depth <= Self.depthMax)
        self.connectionCount = connectionCount
        self.depth = depth
    }

    /// "4 x 32".
    package var name: String { "\(connectionCount) x \(depth)" }
}

/// When a load ends.
package enum LoadEnd: Sendable {
    case afterSeconds(Double)
    /// After each block was accessed once; sequential loads only.
    case afterOnePass
}
