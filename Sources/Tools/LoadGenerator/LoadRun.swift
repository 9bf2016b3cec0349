import Platform

/// Runs a load against a server on a Unix socket and measures it.
///
/// The client does not use libnbd, because the client's own cost must not dominate the measurement. One call sends all
/// due requests, one call receives all replies that are there, and read data is dropped where it lies. A 4 KiB read
/// with 32 under way cost it 0.7 µs of processor time, and fio's engine over libnbd 8 µs (on a virtual machine with two
/// processors; `nbdext bench --fio` measures both again).
///
/// Threads: one for each connection, while `execute` runs.
package struct LoadRun: Sendable {
    /// The server's socket.
    package var path: String
    /// The requests to send.
    package var workload: Workload
    /// The number of connections and of requests under way.
    package var load: LoadDepth
    /// When the load ends.
    package var end: LoadEnd
    /// Whether read data is compared with what loads write. The export must have been written by loads.
    package var isChecked = false
    /// Whether each request is sent by a call of its own, as most clients do. A server may then find fewer of them at a
    /// time.
    package var sendsSingly = false
    /// Decides the random offsets and kinds of requests.
    package var seed: UInt64 = 1

    package init(path: String, workload: Workload, load: LoadDepth, end: LoadEnd) {
        self.path = path
        self.workload = workload
        self.load = load
        self.end = end
    }

    /// Connects, runs to the end, and waits for every answer.
    /// - Throws: when a connection could not be made or broke. Failed requests are only counted.
    package func execute() throws -> LoadResult {
        let pattern = LoadPattern(blockByteCountMax: workload.blockByteCount)
        var pending: [Pending] = []
        for index in 0..<load.connectionCount {
            let link = try NBDLink(path: path)
            pending.append(Pending(link: link, region: try region(index, of: link.byteCount)))
        }
        // A thread that could not be started leaves its event set.
        for (index, one) in pending.enumerated() { start(one, index, pattern) }
        var total = LoadResult()
        var failure: (any Error)?
        for one in pending {
            one.done.wait()
            switch one.outcome {
            case .success(let result): total.merge(result)
            case .failure(let error): failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return total
    }

    private func start(_ one: Pending, _ index: Int, _ pattern: LoadPattern) {
        do {
            let thread = try OSThread(name: "load \(index)") { [self] in
                let connection = LoadConnection(
                    link: one.link, workload: workload, depth: load.depth, region: one.region, end: end,
                    pattern: pattern, isChecked: isChecked, sendsSingly: sendsSingly,
                    seed: seed &* 1_000_003 &+ UInt64(index))
                one.outcome = Result { try connection.run() }
                one.done.set()
            }
            thread.detach()
        } catch {
            one.outcome = .failure(error)
            one.done.set()
        }
    }

    /// The part of the export that a connection uses.
    private func region(_ index: Int, of byteCount: UInt64) throws -> Range<UInt64> {
        let block = UInt64(workload.blockByteCount)
        let parts = workload.order == .sequential ? UInt64(load.connectionCount) : 1
        let share = byteCount / parts / block * block
        guard share > 0 else { throw OperationError("the export is too small for \(workload.name), \(load.name)") }
        return workload.order == .sequential ? UInt64(index) * share..<UInt64(index + 1) * share : 0..<share
    }

    /// A connection, and the outcome of its thread.
    private final class Pending: @unchecked Sendable {
        // SAFETY: `outcome` is written before `done` is set, and read after.
        let link: NBDLink
        let region: Range<UInt64>
        var outcome: Result<LoadResult, any Error> = .failure(OperationError("the load did not run"))
        let done = OneShotEvent()

        init(link: NBDLink, region: Range<UInt64>) {
            self.link = link
            self.region = region
        }
    }
}
