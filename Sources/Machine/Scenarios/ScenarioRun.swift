import ArrayStore
import BlockStorage
import Diagnostics
import DriverHost
import EmulatedMachine
import Glibc
import HBAProfiles
import Members
import ParallelInterface
import Platform

/// The outcome of a scenario.
package struct ScenarioOutcome: Sendable {
    /// The reason why the machine did not start; nil if it did.
    package var startError: String?
    /// The client's requests and their ends, a line each.
    package var requests: [String] = []
    /// The first diagnosis of each fault, in the catalogue's order.
    package var diagnoses: [Diagnosis] = []
}

/// Runs a scenario on a small array in a directory for temporary files.
package struct ScenarioRun {
    private let scenario: Scenario
    private let driver: DriverProgram?
    private let log: DiagnosisLog
    private let clock: DeadlineClock
    private let waiting: @Sendable (OneShotEvent) -> Void
    private static let arrayByteCount: UInt64 = 32 << 20

    /// - Parameters:
    ///   - driver: the program that runs the scenario's driver, in a process of its own; nil runs it in this process.
    ///   - report: gets the first diagnosis of each fault when it is made.
    ///   - clock: the clock of the kernel half.
    ///   - waiting: waits for the end of the client's requests, when the client's lane has nothing left to do.
    package init(
        _ scenario: Scenario, driver: DriverProgram? = nil,
        report: @escaping @Sendable (Diagnosis) -> Void = { _ in }, clock: DeadlineClock = .machine,
        waiting: @escaping @Sendable (OneShotEvent) -> Void = { $0.wait() }
    ) {
        self.scenario = scenario
        self.driver = driver
        self.clock = clock
        self.waiting = waiting
        log = DiagnosisLog(handler: report)
    }

    /// Runs the scenario. Takes a few seconds at most.
    /// - Throws: when there is no room for the array.
    package func run() throws -> ScenarioOutcome {
        let array = try TemporaryArray(name: "scenario", byteCount: Self.arrayByteCount)
        defer { withExtendedLifetime(array) {} }

        var outcome = ScenarioOutcome()
        do {
            let machine = try Machine(try configuration(array.directory))
            outcome.requests = work(machine)
            machine.abandon()
        } catch let error as ProfileError {
            throw error
        } catch {
            outcome.startError = "\(error)"
        }
        outcome.diagnoses = log.diagnoses
        return outcome
    }

    private func configuration(_ directory: String) throws -> MachineConfiguration {
        var profile = try HBAProfile(nameOrPath: scenario.profile)
        scenario.change(&profile)
        var configuration = MachineConfiguration(
            directories: [directory], mode: scenario.mode, profile: profile, policy: scenario.policy,
            engine: MemberEngineKind.detect(), log: log)
        configuration.driverClass = scenario.driverClass
        configuration.driver = driver
        configuration.disksAreRemovable = scenario.disksAreRemovable
        configuration.writeCacheByteCount = scenario.usesWriteCache ? 8 << 20 : 0
        // Limits of a minute on macOS are well below a second here.
        configuration.kernelOptions.taskTimeoutMilliseconds = 300
        configuration.kernelOptions.recoveryGraceMilliseconds = 100
        configuration.kernelOptions.slowCallMilliseconds = 600
        configuration.kernelOptions.watchdogMilliseconds = 100
        configuration.kernelOptions.clock = clock
        configuration.timeouts.creationMilliseconds = 2000
        configuration.timeouts.readyMilliseconds = 600
        return configuration
    }

    // MARK: Clients

    private func work(_ machine: Machine) -> [String] {
        let device = machine.devices[0]
        let memory = device.arena.allocate(byteCount: 1 << 20)!
        defer { device.arena.free(memory) }
        let pageByteCount = 16384
        let toPage = (pageByteCount - Int(UInt(bitPattern: memory.baseAddress!) % UInt(pageByteCount))) % pageByteCount
        let page = memory.baseAddress! + toPage
        switch scenario.workload {
        case .basic: return basic(device, page)
        case .basicThenWait(let milliseconds):
            defer { _ = clock.wait(for: OneShotEvent(), milliseconds: milliseconds) }
            return basic(device, page)
        case .write(let byteCount, let memoryOffset):
            return inTurn(device, [request(.write, 0, byteCount, page + memoryOffset)])
        case .overlappingWrites:
            let requests = [
                request(.write, 4096, 8192, page), request(.write, 8192, 8192, page + 65536),
                request(.write, 4 << 20, 4096, page),
            ]
            // The first two commands of a driver's life come by the legacy route. They were the probe's.
            let errors = BlockingClient.execute(requests, on: device, waiting: waiting)
            return zip(requests, errors).map { Self.text($0, $1) }
        case .powerCut: return cutPower(machine, page)
        case .stopWithTaskOutstanding:
            return startAndLeave(device, request(.write, 0, 4096, page))
        case .stop: return []
        }
    }

    private func basic(_ device: BlockStorageDevice, _ page: UnsafeMutableRawPointer) -> [String] {
        inTurn(
            device,
            [
                request(.write, 0, 64 << 10, page), request(.read, 0, 64 << 10, page), request(.flush, 0, 0, nil),
                request(.write, 8 << 20, 4096, page), request(.read, 8 << 20, 4096, page),
            ])
    }

    private func request(
        _ operation: BlockRequest.Operation, _ byteOffset: UInt64, _ byteCount: Int, _ buffer: UnsafeMutableRawPointer?
    ) -> BlockRequest {
        BlockRequest(
            operation: operation, tag: 0, byteOffset: byteOffset, byteCount: UInt32(byteCount), buffer: buffer)
    }

    /// Executes requests one after another, up to the first failure.
    private func inTurn(_ device: BlockStorageDevice, _ requests: [BlockRequest]) -> [String] {
        var lines: [String] = []
        for request in requests {
            let error = BlockingClient.execute([request], on: device, waiting: waiting)[0]
            lines.append(Self.text(request, error))
            if error != .none { break }
        }
        return lines
    }

    /// Writes, flushes, cuts the power, and checks whether the data is still there.
    private func cutPower(_ machine: Machine, _ memory: UnsafeMutableRawPointer) -> [String] {
        let device = machine.devices[0]
        memset(memory, 0x5A, 64 << 10)
        var lines = inTurn(device, [request(.write, 0, 64 << 10, memory), request(.flush, 0, 0, nil)])
        lines.append(machine.powerCut())
        memset(memory, 0, 64 << 10)
        lines += inTurn(device, [request(.read, 0, 64 << 10, memory)])
        let first = memory.load(as: UInt8.self)
        lines.append(
            "the first byte is 0x\(String(first, radix: 16)): \(first == 0x5A ? "kept" : "LOST, though flushed")")
        return lines
    }

    private func startAndLeave(_ device: BlockStorageDevice, _ request: BlockRequest) -> [String] {
        final class Nobody: BlockCompletionReceiver {
            func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {}
        }
        guard let lane = try? device.makeLane(receiver: Nobody()) else { return [] }
        withUnsafePointer(to: request) { lane.submit(UnsafeBufferPointer(start: $0, count: 1)) }
        while lane.hasOutstandingWork { lane.wait(orReadable: -1) }
        return ["write of \(request.byteCount) bytes at \(request.byteOffset): left outstanding"]
    }

    private static func text(_ request: BlockRequest, _ error: BlockError) -> String {
        let what =
            request.operation == .flush
            ? "flush" : "\(request.operation) of \(request.byteCount) bytes at \(request.byteOffset)"
        return "\(what): \(error == .none ? "done" : "failed (\(error))")"
    }
}
