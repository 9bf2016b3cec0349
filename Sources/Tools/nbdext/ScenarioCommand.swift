import ArgumentParser
import Control
import Diagnostics
import DriverHost
import Glibc
import Scenarios

extension ScenarioLanguage: ExpressibleByArgument {}

struct ScenarioCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scenario",
        abstract: "Runs drivers with one mistake each, and shows the diagnosis.",
        discussion: """
            EXAMPLES
              nbdext scenario list
              nbdext scenario run create-on-default-queue
              nbdext scenario run --all
              nbdext scenario run missing-retain --language c++
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
    @Option(help: "The language of the driver. The one in C++ is built first, and runs in its own process.")
    var language = ScenarioLanguage.swift
    /// For the process that is expected to crash.
    @Flag(help: .hidden)
    var unprotected = false

    func validate() throws { _ = try choose() }

    func run() throws {
        let chosen = try choose()
        var dext: DriverProgram?
        if language == .cPlusPlus { dext = try DriverProgram(ScenarioDext.build(report: DextBuildCommand.show)) }
        let report = ScenarioReport(isBrief: all, dext: dext) {
            show($0)
            fflush(nil)
        }
        let missed = try chosen.count { try !report.run($0, unprotected: unprotected) }
        if all { show("\(chosen.count - missed) of \(chosen.count) mistakes were named") }
        if missed > 0 { throw ExitCode.failure }
    }

    private func choose() throws -> [Scenario] {
        let isThere = { (scenario: Scenario) in language == .swift || scenario.reasonWithoutDext == nil }
        if all { return Scenario.all.filter(isThere) }
        guard let name else { throw ValidationError("name a scenario, or use --all; 'nbdext scenario list' has them") }
        let chosen = Scenario.all.filter { $0.name == name || $0.fault.rawValue == name.uppercased() }
        guard !chosen.isEmpty else {
            throw ValidationError("there is no scenario \(name); 'nbdext scenario list' lists them")
        }
        if let reason = chosen[0].reasonWithoutDext, !chosen.contains(where: isThere) {
            throw ValidationError("\(name) has no driver in C++: \(reason)")
        }
        return chosen.filter(isThere)
    }
}
