import Diagnostics

/// The result of one check of a driver.
package struct CheckResult: Sendable {
    /// How a check ended.
    package enum Verdict: String, Sendable, Encodable {
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

    /// The diagnoses and the summary for people: lines without the last one's end.
    package var text: String { diagnoses.map { "\n\($0.report)" }.joined() + "\n\(summary)" }

    /// One line: whether the driver has passed.
    package var summary: String {
        let failed = results.count { $0.verdict == .failed }
        return failed == 0
            ? "the driver has passed" : "the driver has failed \(failed) of \(results.count) checks"
    }
}

extension CheckReport: Encodable {
    private enum CodingKeys: String, CodingKey { case program, passed, checks, faults }

    /// Writes the object that `check-driver --json` shows.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(program, forKey: .program)
        try values.encode(hasPassed, forKey: .passed)
        try values.encode(results, forKey: .checks)
        try values.encode(diagnoses.map(Fault.init), forKey: .faults)
    }

    private struct Fault: Encodable {
        let fault: String
        let title: String
        let detail: String

        init(_ diagnosis: Diagnosis) {
            fault = diagnosis.fault.rawValue
            title = diagnosis.fault.entry.title
            detail = diagnosis.detail
        }
    }
}

extension CheckResult: Encodable {
    private enum CodingKeys: String, CodingKey { case mode, check, verdict, faults, detail }

    /// Writes one of the objects in `checks`.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(mode, forKey: .mode)
        try values.encode(name, forKey: .check)
        try values.encode(verdict, forKey: .verdict)
        try values.encode(faults.map(\.rawValue), forKey: .faults)
        try values.encode(detail, forKey: .detail)
    }
}
