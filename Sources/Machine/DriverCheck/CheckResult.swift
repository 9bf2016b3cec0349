import Diagnostics
import Statistics

/// The result of one check of a driver.
package struct CheckResult: Sendable {
    /// How a check ended.
    package enum Verdict: String, Sendable {
        case passed, failed
        /// Worth knowing; the driver is not to blame.
        case note
        /// An earlier failure left nothing to check.
        case skipped
    }

    /// The route by which tasks went to the driver: "bundled".
    package var mode: String
    package var name: String
    /// How the check ended.
    package var verdict: Verdict
    /// Figures, or what went wrong.
    package var detail: String
    /// The faults that the detectors reported during the check.
    package var faults: [DriverFault] = []

    /// A line of the table.
    package var line: String {
        func pad(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        return "\(pad(mode, 7))  \(pad(name, 18))  \(pad(verdict.rawValue, 7))  \(detail)"
    }
}

/// The results of the whole battery.
package struct CheckReport: Sendable {
    /// The driver's program.
    package var program: String
    /// The results, in the order of the checks.
    package var results: [CheckResult] = []
    /// The first diagnosis of each fault.
    package var diagnoses: [Diagnosis] = []

    /// Whether no check failed.
    package var hasPassed: Bool { !results.contains { $0.verdict == .failed } }

    /// One line: whether the driver has passed.
    package var summary: String {
        let failed = results.count { $0.verdict == .failed }
        return failed == 0
            ? "the driver has passed" : "the driver has failed \(failed) of \(results.count) checks"
    }

    /// Everything, as a JSON object.
    package var json: String {
        let rows = results.map { result in
            let faults = result.faults.map { JSONValue.quoted($0.rawValue) }.joined(separator: ", ")
            return "    {\"mode\": \(JSONValue.quoted(result.mode)), \"check\": \(JSONValue.quoted(result.name)), "
                + "\"verdict\": \(JSONValue.quoted(result.verdict.rawValue)), \"faults\": [\(faults)], "
                + "\"detail\": \(JSONValue.quoted(result.detail))}"
        }
        let faults = diagnoses.map {
            "    {\"fault\": \(JSONValue.quoted($0.fault.rawValue)), \"title\": \(JSONValue.quoted($0.fault.entry.title)), "
                + "\"detail\": \(JSONValue.quoted($0.detail))}"
        }
        return """
            {
              "program": \(JSONValue.quoted(program)),
              "passed": \(hasPassed),
              "checks": [
            \(rows.joined(separator: ",\n"))
              ],
              "faults": [
            \(faults.joined(separator: ",\n"))
              ]
            }

            """
    }
}

/// Why a check failed.
struct CheckFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
