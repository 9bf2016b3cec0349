import Diagnostics
import TestTraits
import Testing

@testable import Scenarios

@Suite("The list of scenarios", .blocks)
struct ScenarioTests {
    @Test("cover every fault together with the reasons for those that have none")
    func coverage() {
        let covered = Set(Scenario.all.map(\.fault))
        let leftOut = Set(Scenario.leftOut.map(\.fault))
        #expect(covered.isDisjoint(with: leftOut))
        #expect(covered.union(leftOut) == Set(DriverFault.allCases))
        #expect(leftOut.count == 5)
    }

    @Test("have names of their own")
    func names() {
        #expect(Set(Scenario.all.map(\.name)).count == Scenario.all.count)
    }

    @Test("the catalogue says something of every fault", arguments: DriverFault.allCases)
    func catalogue(fault: DriverFault) {
        let entry = fault.entry
        for text in [entry.title, entry.rule, entry.symptom, entry.fix, entry.reference] {
            #expect(!text.isEmpty && !text.hasSuffix("."))
        }
        let report = Diagnosis(fault, "it happened").report
        #expect(report.contains("\(fault.rawValue): \(entry.title)") && report.contains("it happened"))
    }
}
