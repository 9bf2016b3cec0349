/// What requests a load consists of.
package struct Workload: Sendable, Equatable {
    /// Where the next request goes.
    package enum Order: Sendable {
        /// To any block of the export.
        case random
        /// Behind the one before; each connection has a part of the export of its own.
        case sequential
    }

    /// For people: "4 KiB random read".
    package var name: String
    package var blockByteCount: Int
    package var order: Order
    /// Of a hundred requests, so many read and the others write.
    package var readPercent: Int

    package init(_ name: String, blockByteCount: Int, order: Order, readPercent: Int) {
        self.name = name
        self.blockByteCount = blockByteCount
        self.order = order
        self.readPercent = readPercent
    }
}

/// How many requests are under way at a time.
package struct LoadDepth: Sendable, Equatable {
    /// Requests of one connection: their addresses go to the system in one call, two for each.
    package static let depthMax = 512

    package var connectionCount: Int
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
    /// When each block has had its turn once; sequential loads only.
    case afterOnePass
}
