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
import SCSIControllerDriverKit

/// What is to be checked, and how.
package struct CheckOptions: Sendable {
    /// The driver's program.
    package var driver: DriverProgram
    /// The driver's name in the report.
    package var name: String
    /// The routes to check, in their order.
    package var modes: [DriverMode] = [.bundled, .legacy]
    /// Whether the driver drives the RAID card; otherwise it brings its own targets.
    package var usesCard = false
    /// How long the stress check takes.
    package var stressMilliseconds: UInt64 = 3000

    /// - Parameter name: nil for the program's path.
    package init(driver: DriverProgram, name: String? = nil) {
        self.driver = driver
        self.name = name ?? driver.path
    }
}

/// The conformance battery: starts a driver as a process, sends requests to it through the whole stack, and reports
/// what held.
///
/// A fault that the detectors report fails the check that is under way.
///
/// Threads: one.
package final class DriverCheck {
    private static let arrayByteCount: UInt64 = 32 << 20
    /// How long Stop may take.
    private static let stopMilliseconds: UInt64 = 3000
    private let options: CheckOptions
    private let progress: (CheckResult) -> Void
    private let hangGuard: HangGuard
    private var report: CheckReport
    private var array: TemporaryArray?

    // The state of the machine that runs.
    private var mode = DriverMode.bundled
    private var log = DiagnosisLog { _ in }
    private var seen: Set<DriverFault> = []
    private var isBroken = false

    /// - Parameter progress: called with each result at once.
    /// - Throws: when no thread can be made.
    package init(_ options: CheckOptions, progress: @escaping (CheckResult) -> Void = { _ in }) throws {
        self.options = options
        self.progress = progress
        hangGuard = try HangGuard()
        report = CheckReport(program: options.name)
    }

    /// Runs all checks. Takes a minute at most, unless requests have to time out.
    package func run() -> CheckReport {
        for mode in options.modes {
            self.mode = mode
            let resultCount = report.results.count
            // A driver that does not start would not start the next time either.
            guard battery() else { continue }
            stopWithRequest()
            if !report.results[resultCount...].contains(where: { $0.verdict == .failed }) { restart() }
        }
        return report
    }

    // MARK: Machines

    /// - Returns: whether the driver started.
    private func battery() -> Bool {
        guard let machine = start(isFirst: true) else { return false }
        let checks = DataChecks(machine: machine)
        // First, as a driver that holds its first write back would fail all others.
        check("overlapping writes") { try checks.overlap() }
        check("data") {
            try machine.devices.prefix(4).map { try checks.integrity($0) }.joined(separator: "; ")
        }
        check("many outstanding") { try checks.manyOutstanding() }
        check("flush") { try checks.flush() }
        if options.usesCard { check("power cut") { try checks.powerCut() } }
        check("aborts and resets") { try checks.recovery() }
        check("stress") { try checks.stress(milliseconds: options.stressMilliseconds) }
        tryUserClient(of: machine)
        stop(machine, "stop")
        return true
    }

    /// Opens a user client, where the driver has any. What the client's calls mean is not known here, so only the way
    /// there and back is checked.
    private func tryUserClient(of machine: Machine) {
        if isBroken { return }
        let outcome = hangGuard.watch("user client") { machine.tryUserClient() }
        switch outcome {
        case .unsupported: return
        case .refused(let status):
            note("user client", .note, "NewUserClient(0) returned \(hexText(status))", newFaults { _ in true })
        case .answered, .notStopped, .unreachable:
            check("user client") { try Self.describe(outcome) }
        }
    }

    private static func describe(_ outcome: UserClientOutcome) throws(OperationError) -> String {
        switch outcome {
        case .answered(let status): return "opened, answered an unknown selector with \(hexText(status)), closed"
        case .notStopped: throw OperationError("the client's Stop did not call super::Stop within 1 s")
        default:
            throw OperationError("the driver did not answer within \(UserClientOutcome.limitMilliseconds / 1000) s")
        }
    }

    /// Checks that a driver that has just got a request completes it before Stop returns.
    private func stopWithRequest() {
        // The task must not time out before Stop: a driver that never completes it would be reported with another
        // fault.
        guard let machine = start(isFirst: false, taskTimeoutMilliseconds: 60_000) else { return }
        leaveRequest(on: machine.devices[0])
        // Waits for the card, whose time is not the driver's.
        machine.controller.waitForDevice(milliseconds: 2000)
        _ = OneShotEvent().wait(milliseconds: 150)
        stop(machine, "stop after write", flushes: false)
    }

    /// Checks that requests are served again after the driver's process was killed under load.
    private func restart() {
        guard let machine = start(isFirst: false) else { return }
        let checks = DataChecks(machine: machine)
        check("restart after kill") {
            guard let process = machine.driverProcess else { throw OperationError("the driver has no process") }
            let ended = OneShotEvent()
            // What was in a driver's own memory is gone with it, so nothing is compared.
            try OSThread(name: "load") {
                _ = try? checks.load(milliseconds: 200, depth: 8, byteCountMax: 32 << 10, seed: 41)
                ended.set()
            }.detach()
            _ = OneShotEvent().wait(milliseconds: 50)
            kill(process, SIGKILL)
            let start = monotonicMilliseconds()
            ended.wait()
            while true {
                do {
                    _ = try checks.load(milliseconds: 0, depth: 8, byteCountMax: 32 << 10, seed: 43)
                    break
                } catch { if monotonicMilliseconds() > start + 15_000 { throw error } }
                _ = OneShotEvent().wait(milliseconds: 100)
            }
            guard let second = machine.driverProcess, second != process else {
                throw OperationError("the driver was not started again")
            }
            // The check made this crash; a second one would be the driver's own.
            if log.count(of: .driverCrash) == 1 { seen.insert(.driverCrash) }
            return "requests are served again after \(monotonicMilliseconds() - start) ms"
        }
        stop(machine, nil)
    }

    private func leaveRequest(on device: BlockStorageDevice) {
        final class Nobody: BlockCompletionReceiver {
            func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {}
        }
        guard let memory = device.arena.allocate(byteCount: 4096), let lane = try? device.makeLane(receiver: Nobody())
        else { return }
        let request = BlockRequest(
            operation: .write, tag: 0, byteOffset: 0, byteCount: 4096, buffer: memory.baseAddress!)
        withUnsafePointer(to: request) { lane.submit(UnsafeBufferPointer(start: $0, count: 1)) }
        while lane.hasOutstandingWork { lane.wait(orReadable: -1) }
    }

    /// - Parameter taskTimeoutMilliseconds: usually far less than macOS's minute, so that a lost task costs seconds.
    private func start(isFirst: Bool, taskTimeoutMilliseconds: UInt32 = 1500) -> Machine? {
        log = DiagnosisLog { _ in }
        seen = []
        isBroken = false
        do {
            let machine = try hangGuard.watch("start") { try Machine(configuration(taskTimeoutMilliseconds)) }
            if isFirst { describe(machine) }
            return machine
        } catch {
            note("start", .failed, "\(error)", newFaults { _ in true })
            return nil
        }
    }

    /// Adds the rows about what the driver reported while it started.
    private func describe(_ machine: Machine) {
        let properties = machine.controller.properties
        let constraints = newFaults { $0.entryIsAboutLimits }
        let others = newFaults { _ in true }
        note(
            "start", .passed,
            "\(properties.taskCount) tasks, IDs up to \(properties.highestDeviceID), "
                + "initiator \(properties.initiatorID)", others)
        note(
            "constraints", .passed,
            "tasks up to \(properties.dma.maxTransferSize) bytes, \(properties.dma.numAddressBits) address bits",
            constraints)
        let targets = zip(machine.addresses, machine.devices).map { address, device in
            let unit = address.logicalUnit == 0 ? "" : " LUN \(address.logicalUnit)"
            return "\(address.targetID)\(unit): \(device.info.byteCount >> 20) MiB"
        }
        note("targets", .passed, targets.joined(separator: ", "), [])
    }

    private func stop(_ machine: Machine, _ name: String?, flushes: Bool = true) {
        // A flush would only wait for what has failed already.
        let flushes = flushes && !isBroken
        isBroken = false
        let start = monotonicMilliseconds()
        var failure: (any Error)?
        hangGuard.watch(name ?? "stop") {
            if !flushes {
                machine.abandon()
            } else {
                do { try machine.stop() } catch { failure = error }
            }
        }
        guard let name else { return }
        check(name) {
            if let failure { throw failure }
            let duration = monotonicMilliseconds() - start
            guard duration < Self.stopMilliseconds else { throw OperationError("Stop took \(duration) ms") }
            return "nothing outstanding, \(duration) ms"
        }
    }

    private func configuration(_ taskTimeoutMilliseconds: UInt32) throws -> MachineConfiguration {
        // A fresh array each time: the last machine may have left it dirty.
        array = options.usesCard ? try TemporaryArray(name: "check", byteCount: Self.arrayByteCount) : nil
        var configuration = MachineConfiguration(
            directories: array.map { [$0.directory] } ?? [], mode: mode, profile: try HBAProfile(nameOrPath: "default"),
            policy: .macos, engine: MemberEngineKind.detect(), log: log)
        configuration.driver = options.driver
        configuration.writeCacheByteCount = options.usesCard ? 8 << 20 : 0
        configuration.kernelOptions.taskTimeoutMilliseconds = taskTimeoutMilliseconds
        configuration.kernelOptions.recoveryGraceMilliseconds = 200
        configuration.kernelOptions.slowCallMilliseconds = 1000
        configuration.kernelOptions.watchdogMilliseconds = 100
        configuration.timeouts.creationMilliseconds = 5000
        configuration.timeouts.readyMilliseconds = 3000
        return configuration
    }

    // MARK: Results

    private func check(_ name: String, _ body: () throws -> String) {
        if isBroken { return note(name, .skipped, "after the failure above", []) }
        do {
            let detail = try hangGuard.watch(name, body)
            note(name, .passed, detail, newFaults { _ in true })
        } catch {
            // Requests that fail would fail again, each after its time limit.
            isBroken = true
            note(name, .failed, "\(error)", newFaults { _ in true })
        }
    }

    /// The wanted faults among those that the detectors have reported since the last call.
    private func newFaults(_ isWanted: (DriverFault) -> Bool) -> [Diagnosis] {
        let new = log.diagnoses.filter { !seen.contains($0.fault) && isWanted($0.fault) }
        seen.formUnion(new.map(\.fault))
        return new
    }

    private func note(_ name: String, _ verdict: CheckResult.Verdict, _ detail: String, _ found: [Diagnosis]) {
        let known = Set(report.diagnoses.map(\.fault))
        // A note is listed once; a fault fails every check in which it is seen.
        let found = found.filter { $0.fault.severity > .note || !known.contains($0.fault) }
        var result = CheckResult(mode: mode.rawValue, name: name, verdict: verdict, detail: detail)
        result.faults = found.map(\.fault)
        let worst = found.map(\.fault.severity).max()
        if let worst, worst >= .warning {
            result.verdict = .failed
        } else if worst != nil && verdict == .passed {
            result.verdict = .note
        }
        if !found.isEmpty {
            let list = found.map { "\($0.fault.rawValue) \($0.fault.entry.title)" }.joined(separator: "; ")
            result.detail = "\(list) (\(detail))"
        }
        report.diagnoses += found.filter { !known.contains($0.fault) }
        report.results.append(result)
        progress(result)
    }
}

extension DriverFault {
    /// Whether the fault is about what a driver reports of its HBA.
    fileprivate var entryIsAboutLimits: Bool {
        switch self {
        case .stageSizeIsZero, .maxTransferSizeTooSmall, .requiredConstraintMissing, .constraintsNotReported,
            .constraintNotSettable, .alignmentAbovePageSize, .severalSegments, .badDMASpecification:
            true
        default: false
        }
    }
}
