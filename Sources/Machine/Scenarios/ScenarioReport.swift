import Diagnostics
import DriverHost
import EmulatedMachine
import Platform

/// Runs scenarios and tells people how they went.
///
/// Threads: one; `show` is also called on those of the scenario's machine.
package struct ScenarioReport: Sendable {
    private let isBrief: Bool
    private let dext: DriverProgram?
    private let show: @Sendable (String) -> Void

    /// - Parameters:
    ///   - isBrief: one line for each scenario.
    ///   - dext: the program of the driver in C++; nil runs the drivers in Swift.
    ///   - show: prints lines; the last one has no end.
    package init(isBrief: Bool, dext: DriverProgram? = nil, show: @escaping @Sendable (String) -> Void) {
        self.isBrief = isBrief
        self.dext = dext
        self.show = show
    }

    /// All scenarios, and the faults without one: lines without the last one's end.
    package static var list: String {
        func line(_ scenario: Scenario, _ text: String) -> String {
            let name = scenario.name + String(repeating: " ", count: max(1, 34 - scenario.name.count))
            return "\(scenario.fault.rawValue)  \(name)\(text)"
        }
        let scenarios = Scenario.all.map { line($0, "the driver \($0.mistake)") }
        let onlySwift = Scenario.all.compactMap { scenario in scenario.reasonWithoutDext.map { line(scenario, $0) } }
        let others = Scenario.leftOut.map { fault, reason in "\(fault.rawValue)  \(fault.entry.title): \(reason)" }
        return
            (scenarios + ["\nscenarios without a driver in C++ (run --language c++ has all others)"] + onlySwift
            + ["\nfaults without a scenario"] + others).joined(separator: "\n")
    }

    /// Runs a scenario: in a process of its own if its driver is in Swift and crashes, else in this one.
    ///
    /// - Parameter unprotected: this is the process that is expected to crash.
    /// - Returns: whether the driver's mistake was named.
    /// - Throws: when there is no room for the array, or no process can be started.
    package func run(_ scenario: Scenario, unprotected: Bool) throws -> Bool {
        if unprotected { CrashReports.install() }
        let crashesHere = scenario.crashes && dext == nil
        return crashesHere && !unprotected ? try runInChild(scenario) : try runHere(scenario)
    }

    private func runHere(_ scenario: Scenario) throws -> Bool {
        if !isBrief { show("scenario \(scenario.name): the driver \(scenario.mistake)\n") }
        var driver = dext
        driver?.properties[ScenarioDext.mistakeKey] = .string(scenario.name)
        let outcome = try ScenarioRun(scenario, driver: driver) { [isBrief, show] in
            if !isBrief { show($0.report) }
        }.run()
        let wasNamed = outcome.diagnoses.contains { $0.fault == scenario.fault }
        if isBrief {
            let others = outcome.diagnoses.map(\.fault.rawValue).filter { $0 != scenario.fault.rawValue }
            let more = others.isEmpty ? "" : "  (also \(others.joined(separator: ", ")))"
            show("\(scenario.fault.rawValue)  \(wasNamed ? "named " : "MISSED")  \(scenario.name)\(more)")
        } else {
            if let error = outcome.startError { show("the machine did not start: \(error)") }
            for line in outcome.requests { show("client: \(line)") }
            if !wasNamed { show("\(scenario.fault.rawValue) was not seen") }
        }
        return wasNamed
    }

    private func runInChild(_ scenario: Scenario) throws -> Bool {
        if !isBrief { show("scenario \(scenario.name) runs in a process of its own") }
        let outcome = try ChildProcess.run([
            "/proc/self/exe", "scenario", "run", scenario.name, "--unprotected",
        ])
        let wasNamed = outcome.wasKilled && outcome.output.contains("driver fault \(scenario.fault.rawValue)")
        if isBrief {
            show("\(scenario.fault.rawValue)  \(wasNamed ? "named " : "MISSED")  \(scenario.name)  (crashed)")
        } else {
            show(outcome.output)
        }
        return wasNamed
    }
}
