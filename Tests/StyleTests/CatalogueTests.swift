import Diagnostics
import Foundation
import Scenarios
import Testing

/// Docs/faults.md says what the catalogue and the list of scenarios say.
@Suite("Documentation of the catalogue")
struct CatalogueTests {
    /// A row of a table: what is between the bars.
    private struct Row {
        var id: String
        var title: String
        var symptom: String
        var fix: String
        var scenarios: String
    }

    private static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Docs/faults.md")

    /// The rows whose first cell is the number of a fault.
    private static func rows() throws -> [Row] {
        let text = try String(contentsOf: path, encoding: .utf8)
        return text.components(separatedBy: "\n").compactMap { line in
            guard line.hasPrefix("| B") else { return nil }
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 5 else {
                Issue.record("this row has \(cells.count) cells instead of 5: \(line)")
                return nil
            }
            return Row(id: cells[0], title: cells[1], symptom: cells[2], fix: cells[3], scenarios: cells[4])
        }
    }

    @Test("each fault has its row, in the catalogue's words")
    func faults() throws {
        let rows = try Self.rows()
        #expect(rows.map(\.id) == DriverFault.allCases.map(\.rawValue))
        for (row, fault) in zip(rows, DriverFault.allCases) {
            #expect(row.title == fault.entry.title)
            #expect(row.symptom == fault.entry.symptom)
            #expect(row.fix == fault.entry.fix)
        }
    }

    @Test("each fault's row names its scenarios, or says why there is none")
    func scenarios() throws {
        for row in try Self.rows() {
            let names = Scenario.all.filter { $0.fault.rawValue == row.id }.map { "`\($0.name)`" }
            let reason = Scenario.leftOut.first { $0.fault.rawValue == row.id }?.reason
            #expect(row.scenarios == reason ?? names.joined(separator: ", "), "\(row.id)")
            #expect(reason == nil || names.isEmpty, "\(row.id) has scenarios and a reason to have none")
        }
    }
}
