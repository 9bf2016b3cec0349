import Diagnostics
import Foundation
import TestTraits
import Testing

@testable import Control
@testable import DriverCheck

@Suite("check-driver's JSON", .blocks)
struct CheckReportTests {
    @Test("every check and every fault is an object")
    func json() throws {
        let report = CheckReport(
            program: "a \"b\"\u{1B}",
            results: [
                CheckResult(
                    mode: "bundled", name: "data", verdict: .failed, detail: "bad",
                    faults: [try #require(DriverFault.allCases.first)])
            ], diagnoses: [])
        let fault = try #require(DriverFault.allCases.first).rawValue
        let expected =
            ##"{"checks": [{"check": "data", "detail": "bad", "faults": ["\##(fault)"], "mode": "bundled", "##
            + ##""verdict": "failed"}], "faults": [], "passed": false, "program": "a \"b\"\u001b"}"##
        #expect(try JSONText.line(report) == expected)
    }
}
