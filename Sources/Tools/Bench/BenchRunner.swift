import ArrayStore
import BenchReport
import Glibc
import LoadGenerator
import Platform
import RAID
import Statistics

/// Starts a server for each configuration and measures them in turn.
///
/// Threads: the caller's, and one that waits for a signal to clean up.
package final class BenchRunner: @unchecked Sendable {
    // SAFETY: `servers` is changed by the caller's thread, under `lock`, and read under it by the signal's thread; the
    // rest does not change.
    private static let memberCount = 4
    private let directory: BenchDirectory
    private let lock = Lock()
    private var servers: [BenchServer] = []
    private let loadAverage = BenchHost.loadAverage
    private let plan: Plan
    private let seconds: Double
    private let rounds: Int
    private let sendsSingly: Bool

    /// The servers that are measured, and their storage.
    package struct Plan: Sendable {
        /// The configurations, a server for each.
        package var configurations = BenchConfiguration.all
        /// The size of each server's array, bytes; nil for drivers that bring their own targets.
        package var byteCount: UInt64?

        package init(byteCount: UInt64?) { self.byteCount = byteCount }
    }

    /// Makes the arrays, starts the servers and fills their exports.
    ///
    /// - Parameters:
    ///   - parent: the directory that the arrays' directory is made in.
    ///   - plan: the servers.
    ///   - seconds: the time of each measurement.
    ///   - rounds: measurements of each server under each load.
    ///   - sendsSingly: the load generator sends each request by itself, instead of all that are due at once.
    /// - Throws: when there is no room, or when a server does not start.
    package init(parent: String, plan: Plan, seconds: Double, rounds: Int, sendsSingly: Bool) throws {
        self.plan = plan
        self.sendsSingly = sendsSingly
        self.seconds = seconds
        self.rounds = rounds
        let room = plan.byteCount.map { $0 / UInt64(Self.memberCount - 1) * UInt64(Self.memberCount) + 64 << 20 } ?? 0
        directory = try BenchDirectory(in: parent, byteCount: room * UInt64(plan.configurations.count))
        try cleanUpOnSignal()
        do {
            for (index, configuration) in plan.configurations.enumerated() {
                try start(configuration, "\(directory.path)/\(index)")
            }
        } catch {
            stop()
            throw error
        }
    }

    private func start(_ configuration: BenchConfiguration, _ path: String) throws {
        writeDiagnostic("bench: starting \(configuration.name)\n")
        if let byteCount = plan.byteCount {
            let array = ArrayStore.Plan(
                level: .raid5, memberCount: Self.memberCount, byteCount: byteCount, chunkByteCount: 64 << 10,
                name: "bench")
            _ = try ArrayStore.create(directory: path, plan: array, force: false)
        }
        // Under the lock, so that a signal finds every server that was started.
        let server = try lock.withLock {
            let server = try BenchServer(
                configuration, directory: plan.byteCount == nil ? nil : path, path: path)
            servers.append(server)
            return server
        }
        try server.waitUntilReady()
        try fill(server)
    }

    /// Writes the whole export, so that no member has a hole, and reads it back, so that no broken server is measured.
    private func fill(_ server: BenchServer) throws {
        let load = LoadDepth(connectionCount: 1, depth: 8)
        let written = try LoadRun(
            path: server.socket, workload: BenchPlan.sequentialWrite, load: load, end: .afterOnePass
        ).execute()
        var reading = LoadRun(
            path: server.socket,
            workload: Workload("check", blockByteCount: 256 << 10, order: .sequential, readPercent: 100), load: load,
            end: .afterOnePass)
        reading.isChecked = true
        let read = try reading.execute()
        guard written.errorCount + read.errorCount + read.mismatchCount == 0 else {
            throw OperationError("\(server.configuration.name) does not give back what was written")
        }
    }

    /// Stops the servers and removes their arrays. Does not return while a signal does the same, which ends this
    /// process.
    package func stop() {
        lock.lock()
        for server in servers { server.stop() }
        directory.remove()
        lock.unlock()
    }

    // MARK: Measuring

    /// Measures every configuration under every load.
    ///
    /// - Parameter check: runs one load as well; nil for no check.
    /// - Throws: when a server does not answer, or when fio fails.
    package func measure(_ workloads: [Workload], check: FioCheck?) throws -> BenchResults {
        var results = BenchResults(
            configurations: plan.configurations, machine: BenchHost.machine, loadAverage: loadAverage,
            seconds: seconds, rounds: rounds, byteCount: plan.byteCount, sendsSingly: sendsSingly)
        let rows = workloads.flatMap { workload in BenchPlan.loads.map { (workload, $0) } }
        for (number, (workload, load)) in rows.enumerated() {
            let row = try measure(workload, load)
            results.rows.append(row)
            let figures = zip(servers, row.cells).map { server, cell in
                "\(server.configuration.name) \(Int(cell.bytesPerSecond / 1_048_576))"
            }
            writeDiagnostic(
                "bench: [\(number + 1)/\(rows.count)] \(row.name): \(figures.joined(separator: ", ")) MiB/s\n")
        }
        if let check { results.check = try self.check(check) }
        return results
    }

    /// Measures all rounds of one load. Each round begins with another server.
    private func measure(_ workload: Workload, _ load: LoadDepth) throws -> BenchRow {
        var cells = servers.map { _ in BenchCell() }
        for round in 0..<rounds {
            for step in servers.indices {
                let index = (step + round) % servers.count
                let before = try servers[index].bundles()
                let result = try run(servers[index], workload, load, seed: UInt64(round + 1))
                cells[index].add(result, bundles: try servers[index].bundles().since(before))
            }
        }
        return BenchRow(workload: workload, load: load, cells: cells)
    }

    private func run(_ server: BenchServer, _ workload: Workload, _ load: LoadDepth, seed: UInt64) throws -> LoadResult
    {
        var run = LoadRun(path: server.socket, workload: workload, load: load, end: .afterSeconds(seconds))
        run.seed = seed
        run.sendsSingly = sendsSingly
        return try run.execute()
    }

    /// Runs one load with this load generator and with fio, in turn.
    private func check(_ fio: FioCheck) throws -> ReferenceCheck {
        let server = servers.first { $0.configuration.mode == "bundled" }!
        let workload = BenchPlan.randomRead4K
        let load = LoadDepth(connectionCount: 1, depth: 32)
        writeDiagnostic("bench: \(workload.name), \(load.name), also with \(fio.program)\n")
        var own = BenchCell()
        var others: [FioCheck.Figures] = []
        for round in 0..<rounds {
            own.add(try run(server, workload, load, seed: UInt64(100 + round)), bundles: BundleSnapshot())
            others.append(try fio.run(socket: server.socket, workload: workload, load: load, seconds: seconds))
        }
        func median(_ value: (FioCheck.Figures) -> Double) -> Double { others.map(value).sorted()[others.count / 2] }
        return ReferenceCheck(
            program: fio.program, row: "\(workload.name), \(load.name)", configuration: server.configuration.name,
            operationsPerSecond: own.operationsPerSecond,
            otherOperationsPerSecond: median(\.operationsPerSecond),
            clientNanoseconds: own.clientNanosecondsPerRequest, otherClientNanoseconds: median(\.clientNanoseconds))
    }

    // MARK: Signals

    /// SIGINT and SIGTERM end the servers and remove the arrays. Called before any thread is started.
    private func cleanUpOnSignal() throws {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        let awaited = set
        let thread = try OSThread(name: "signals") { [self] in
            var set = awaited
            var number: Int32 = 0
            sigwait(&set, &number)
            writeDiagnostic("bench: stopped; removing the arrays\n")
            // The lock is never given back: a thread that waits for it must not go on.
            lock.lock()
            for server in servers { server.stop() }
            // The other thread may be making a member file.
            for _ in 0..<10 where !directory.remove() { usleep(20_000) }
            _exit(128 + number)
        }
        thread.detach()
    }
}
