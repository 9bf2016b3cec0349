import ArgumentParser
import Diagnostics
import EmulatedMachine
import Glibc
import Platform
import Scenarios

/// `nbdext scenario`.
struct ScenarioCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scenario",
        abstract: "Runs drivers with one mistake each, and shows how it is diagnosed.",
        discussion: """
            EXAMPLES
              nbdext scenario list
              nbdext scenario run create-on-default-queue
              nbdext scenario run --all
            """,
        subcommands: [ScenarioList.self, ScenarioRunCommand.self])
}

/// `nbdext scenario list`.
struct ScenarioList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists all scenarios.")

    func run() {
        for scenario in Scenario.all {
            let name = scenario.name + String(repeating: " ", count: max(1, 34 - scenario.name.count))
            show("\(scenario.fault.rawValue)  \(name)the driver \(scenario.mistake)")
        }
        show("\nfaults without a scenario")
        for (fault, reason) in Scenario.leftOut { show("\(fault.rawValue)  \(fault.entry.title): \(reason)") }
    }
}

/// `nbdext scenario run`.
struct ScenarioRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs a scenario and prints its report.",
        discussion: "Exits with 0 when the driver's mistake was named, and with 1 when it was not.")

    @Argument(help: "The scenario's name, or the number of a fault: B02.")
    var name: String?

    @Flag(help: "Run all scenarios; print one line each.")
    var all = false

    /// Set in the process that is expected to crash.
    @Flag(help: .hidden)
    var unprotected = false

    func validate() throws { _ = try choose() }

    func run() throws {
        let chosen = try choose()
        var missed = 0
        for scenario in chosen {
            let wasNamed = scenario.crashes && !unprotected ? try runInChild(scenario) : try runHere(scenario)
            if !wasNamed { missed += 1 }
        }
        if all { show("\(chosen.count - missed) of \(chosen.count) mistakes were named") }
        if missed > 0 { throw ExitCode.failure }
    }

    private func choose() throws -> [Scenario] {
        if all { return Scenario.all }
        guard let name else { throw ValidationError("say which scenario, or --all; 'nbdext scenario list' lists them") }
        let chosen = Scenario.all.filter { $0.name == name || $0.fault.rawValue == name.uppercased() }
        guard !chosen.isEmpty else {
            throw ValidationError("there is no scenario \(name); 'nbdext scenario list' lists them")
        }
        return chosen
    }

    /// - Returns: whether the mistake was named.
    private func runHere(_ scenario: Scenario) throws -> Bool {
        if unprotected { CrashReports.install() }
        let isBrief = all
        if !isBrief {
            show("scenario \(scenario.name): the driver \(scenario.mistake)\n")
            fflush(nil)
        }
        let outcome = try ScenarioRun(scenario) { if !isBrief { show($0.report) } }.run()
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
        fflush(nil)
        return wasNamed
    }

    /// The driver takes its process with it, so it gets one of its own.
    private func runInChild(_ scenario: Scenario) throws -> Bool {
        if !all { show("scenario \(scenario.name) runs in a process of its own") }
        fflush(nil)
        let (output, wasKilled) = try ChildProcess.run([
            "/proc/self/exe", "scenario", "run", scenario.name, "--unprotected",
        ])
        let wasNamed = wasKilled && output.contains("driver fault \(scenario.fault.rawValue)")
        if all {
            show("\(scenario.fault.rawValue)  \(wasNamed ? "named " : "MISSED")  \(scenario.name)  (crashed)")
        } else {
            show(output)
        }
        return wasNamed
    }
}
