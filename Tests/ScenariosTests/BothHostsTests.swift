import Diagnostics
import DriverHost
import Foundation
import Platform
import Scenarios
import TestSupport
import TestTraits
import Testing

/// Where the driver is makes no difference to what is said of it.
@Suite("A scenario in either host", .serialized, .needsCore, .slow)
struct BothHostsTests {
    @Test("names its fault and nothing else, in a driver's process", arguments: Scenario.all.map(\.name))
    func process(name: String) throws {
        let scenario = try #require(Scenario.all.first { $0.name == name })
        let directory = TemporaryDirectory()
        // What a crash says is wanted, and not worth reading in a report of tests.
        let silent = "\(directory.path)/driver"
        try Data("#!/bin/sh\nexec '\(Self.program)' \"$@\" 2>/dev/null\n".utf8).write(to: URL(fileURLWithPath: silent))
        #expect(chmod(silent, 0o700) == 0)
        let driver = DriverProgram(path: scenario.crashes ? silent : Self.program, arguments: [scenario.name])
        let outcome = try ScenarioRun(scenario, driver: driver).run()
        #expect(faults(outcome) == expected(scenario), "\(outcome)")
    }

    @Test("names its fault and nothing else, in the server", arguments: Scenario.all.filter { !$0.crashes }.map(\.name))
    func inProcess(name: String) throws {
        let scenario = try #require(Scenario.all.first { $0.name == name })
        let outcome =
            Self.losingTasks.contains(scenario.fault) ? try runTurningTime(scenario) : try ScenarioRun(scenario).run()
        #expect(faults(outcome) == expected(scenario), "\(outcome)")
    }

    /// The faults whose scenarios wait for deadlines of the client's requests. Their drivers do everything on the
    /// client's thread: when that has nothing left to do, only time can end the requests.
    private static let losingTasks: Set<DriverFault> = [.taskNeverCompleted, .bundledSlotDropped]

    private func runTurningTime(_ scenario: Scenario) throws -> ScenarioOutcome {
        let clock = DeadlineClock.standing()
        return try clock.running {
            try ScenarioRun(
                scenario, clock: clock, waiting: { event in while !event.isSet { clock.turn(byMilliseconds: 10) } }
            ).run()
        }
    }

    @Test(
        "shows the same picture and has the same end, for queues that wait",
        arguments: Scenario.all.filter(\.isAboutQueues).map(\.name))
    func queues(name: String) throws {
        let scenario = try #require(Scenario.all.first { $0.name == name })
        let inProcess = try ScenarioRun(scenario).run()
        let driver = DriverProgram(path: Self.program, arguments: [scenario.name])
        let process = try ScenarioRun(scenario, driver: driver).run()
        #expect(process.diagnoses.map(\.picture) == inProcess.diagnoses.map(\.picture))
        #expect(process.startError == inProcess.startError)
        #expect(process.requests == inProcess.requests)
    }

    private func faults(_ outcome: ScenarioOutcome) -> Set<DriverFault> { Set(outcome.diagnoses.map(\.fault)) }

    private func expected(_ scenario: Scenario) -> Set<DriverFault> { scenario.companions.union([scenario.fault]) }

    /// The program of the scenarios' drivers.
    private static let program = builtProgram("nbdext-scenario-driver")
}
