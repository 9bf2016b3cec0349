import Diagnostics
import Foundation
import Scenarios
import Testing

/// Docs/faults.md says what the catalogue and the list of scenarios say.
@Suite("Documentation of the catalogue")
struct CatalogueTests {
    /// The rows of the tables whose first cell is the number of a fault.
    private static func rows() throws -> [String] {
        try Project.text("Docs/faults.md").components(separatedBy: "\n").filter { $0.hasPrefix("| B") }
    }

    /// A fault's scenarios, or why there is none.
    private static func scenarios(of fault: DriverFault) -> String {
        if let reason = Scenario.leftOut.first(where: { $0.fault == fault })?.reason { return reason }
        return Scenario.all.filter { $0.fault == fault }.map { "`\($0.name)`" }.joined(separator: ", ")
    }

    private static func row(of fault: DriverFault) -> String {
        let entry = fault.entry
        let cells = [fault.rawValue, entry.title, entry.symptom, entry.fix, scenarios(of: fault)]
        return "| " + cells.joined(separator: " | ") + " |"
    }

    @Test("each fault has one row, in order")
    func numbers() throws {
        let numbers = try Self.rows().map { String($0.dropFirst(2).prefix(3)) }
        #expect(numbers == DriverFault.allCases.map(\.rawValue))
    }

    @Test("a row has the catalogue's words and the scenarios' names", arguments: DriverFault.allCases)
    func texts(_ fault: DriverFault) throws {
        let expected = Self.row(of: fault)
        #expect(try Self.rows().contains(expected), "Docs/faults.md needs this row:\n\(expected)")
    }

    @Test("the driver in C++ makes the mistake of each scenario whose driver is at fault")
    func dext() throws {
        let sources = try Project.files(in: "Sources/Machine/Scenarios/Dext", ".cpp").map(Project.text).joined()
        let made = Set(sources.matches(of: /Makes\("([a-z-]+)"\)/).map { String($0.1) })
        #expect(made == Set(Scenario.all.filter { $0.reasonWithoutDext == nil }.map(\.name)))
    }

    @Test("each fault has scenarios, or a reason to have none")
    func coverage() {
        for fault in DriverFault.allCases {
            let isLeftOut = Scenario.leftOut.contains { $0.fault == fault }
            #expect(isLeftOut != Scenario.all.contains { $0.fault == fault }, "\(fault.rawValue)")
        }
    }
}
