import Diagnostics
import Scenarios
import TestTraits
import Testing

@Suite("nbdext scenario", .needsCore, .slow)
struct ScenarioCommandTests {
    @Test("a driver that crashes is named by the process that outlives it", arguments: [0, 1, 2])
    func crashes(index: Int) throws {
        let crashing = Scenario.all.filter(\.crashes)
        #expect(crashing.count == 3)
        let scenario = crashing[index]
        let result = try Shell.run(nbdext, ["scenario", "run", scenario.name])
        #expect(result.status == 0, "\(scenario.name): \(result.output)\(result.errors)")
        #expect(result.output.contains("driver fault \(scenario.fault.rawValue): \(scenario.fault.entry.title)"))
    }

    @Test("a scenario is run by its fault's number too")
    func byNumber() throws {
        let result = try Shell.run(nbdext, ["scenario", "run", "b13"])
        #expect(result.status == 0)
        #expect(result.output.contains("driver fault B13"))
    }

    @Test("all are listed, with those that are left out")
    func list() throws {
        let output = try Shell.run(nbdext, ["scenario", "list"]).output
        for scenario in Scenario.all { #expect(output.contains(" \(scenario.name) ")) }
        for (fault, _) in Scenario.leftOut { #expect(output.contains("\(fault.rawValue)  \(fault.entry.title)")) }
    }

    @Test("a name that nobody has is refused")
    func unknown() throws {
        let result = try Shell.run(nbdext, ["scenario", "run", "no-such-mistake"])
        #expect(result.status != 0)
        #expect(result.errors.contains("no-such-mistake"))
    }
}
