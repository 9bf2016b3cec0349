/// What a load has measured.
package struct LoadResult: Sendable, Equatable {
    /// Reads, or writes.
    package struct Side: Sendable, Equatable {
        package var count: UInt64 = 0
        package var operationsPerSecond = 0.0
        package var bytesPerSecond = 0.0
        package var latency = FineLatencyHistogram()

        package init() {}

        mutating func merge(_ other: Side) {
            count += other.count
            operationsPerSecond += other.operationsPerSecond
            bytesPerSecond += other.bytesPerSecond
            latency.merge(other.latency)
        }
    }

    package var reads = Side()
    package var writes = Side()
    /// Requests that the server answered with an error.
    package var errorCount: UInt64 = 0
    /// Reads whose data was not what had been written; always 0 unless that was to be checked.
    package var mismatchCount: UInt64 = 0
    /// The processor time of the load generator's own threads.
    package var clientNanoseconds: UInt64 = 0
    /// Calls that sent, and calls that received.
    package var sendCount: UInt64 = 0
    package var receiveCount: UInt64 = 0

    package init() {}

    package var count: UInt64 { reads.count + writes.count }
    package var operationsPerSecond: Double { reads.operationsPerSecond + writes.operationsPerSecond }

    /// What a request costs this side, in nanoseconds.
    package var clientNanosecondsPerRequest: Double { count == 0 ? 0 : Double(clientNanoseconds) / Double(count) }

    /// Adds the result of another connection that ran at the same time.
    mutating func merge(_ other: LoadResult) {
        reads.merge(other.reads)
        writes.merge(other.writes)
        errorCount += other.errorCount
        mismatchCount += other.mismatchCount
        clientNanoseconds += other.clientNanoseconds
        sendCount += other.sendCount
        receiveCount += other.receiveCount
    }
}
