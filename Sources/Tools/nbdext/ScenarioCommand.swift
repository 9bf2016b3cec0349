import ArgumentParser
import Control
import Diagnostics
import Glibc
import Scenarios

struct ScenarioCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scenario",
        abstract: "Runs drivers with one mistake each, and shows the diagnosis.",
        discussion: """
            EXAMPLES
              nbdext scenario list
              nbdext scenario run create-on-default-queue
              nbdext scenario run --all
            """,
        subcommands: [ScenarioList.self, ScenarioRunCommand.self])
}

struct ScenarioList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists all scenarios.")

    func run() { show(ScenarioReport.list) }
}

struct ScenarioRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs a scenario and prints its report.",
        discussion: "Exits with 0 when the driver's mistake was named, and with 1 when it was not.")

    @Argument(help: "The scenario's name, or the number of a fault: B02.")
    var name: String?
    @Flag(help: "Run all scenarios; print one line each.")
    var all = false
    /// For the process that is expected to crash.
    @Flag(help: .hidden)
    var unprotected = false

    func validate() throws { _ = try choose() }

    func run() throws {
        let chosen = try choose()
        let report = ScenarioReport(isBrief: all) {
            show($0)
            fflush(nil)
        }
        let missed = try chosen.count { try !report.run($0, unprotected: unprotected) }
        if all { show("\(chosen.count - missed) of \(chosen.count) mistakes were named") }
        if missed > 0 { throw ExitCode.failure }
    }

    private func choose() throws -> [Scenario] {
        if all { return Scenario.all }
        guard let name else { throw ValidationError("name a scenario, or use --all; 'nbdext scenario list' has them") }
        let chosen = Scenario.all.filter { $0.name == name || $0.fault.rawValue == name.uppercased() }
        guard !chosen.isEmpty else {
            throw ValidationError("there is no scenario \(name); 'nbdext scenario list' lists them")
        }
        return chosen
    }
}
