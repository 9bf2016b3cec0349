/// The figures of a load.
package struct LoadResult: Sendable, Equatable {
    /// The figures of the reads, or of the writes.
    package struct Side: Sendable, Equatable {
        /// Requests that were answered, with or without an error.
        package var count: UInt64 = 0
        /// Requests per second.
        package var operationsPerSecond = 0.0
        /// Bytes per second.
        package var bytesPerSecond = 0.0
        /// Latencies in nanoseconds, from the batch's preparation to the reply.
        package var latency = FineLatencyHistogram()

        package init() {}

        mutating func merge(_ other: Side) {
            count += other.count
            operationsPerSecond += other.operationsPerSecond
            bytesPerSecond += other.bytesPerSecond
            latency.merge(other.latency)
        }
    }

    /// The reads.
    package var reads = Side()
    /// The writes.
    package var writes = Side()
    /// Requests that the server answered with an error.
    package var errorCount: UInt64 = 0
    /// Reads whose data was not what had been written; always 0 without a check.
    package var mismatchCount: UInt64 = 0
    /// The processor time of the load generator's own threads.
    package var clientNanoseconds: UInt64 = 0
    /// System calls that sent requests.
    package var sendCount: UInt64 = 0
    /// System calls that received replies.
    package var receiveCount: UInt64 = 0

    package init() {}

    /// Reads and writes together.
    package var count: UInt64 { reads.count + writes.count }
    /// Reads and writes per second together.
    package var operationsPerSecond: Double { reads.operationsPerSecond + writes.operationsPerSecond }

    /// The client's processor time for a request, nanoseconds.
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
