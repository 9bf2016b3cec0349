import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// The example of a driver, a package of its own.
enum ExampleDriver {
    struct BuildFailure: Error {
        var output: String
    }

    /// Its program, which is built when somebody asks first, beside what was built of it for the last tests.
    static let built = Result {
        let root = checkout.path
        let scratch = root + "/.build/MyFirstDext"
        let build = try Shell.run(
            "swift", ["build", "--package-path", root + "/Examples/MyFirstDext", "--scratch-path", scratch])
        guard build.status == 0 else { throw BuildFailure(output: build.output + build.errors) }
        return scratch + "/debug/MyFirstDext"
    }
}

/// `nbdext check-driver` with the real programs.
@Suite("nbdext check-driver", .serialized, .needsCore, .slow)
struct CheckDriverTests {
    /// What --json prints, as far as tests look at it.
    private struct Report: Decodable {
        struct Check: Decodable {
            var mode: String
            var check: String
            var verdict: String
            var faults: [String]
        }
        struct Fault: Decodable {
            var fault: String
        }
        var passed: Bool
        var checks: [Check]
        var faults: [Fault]
    }

    private func check(_ arguments: [String]) throws -> (status: Int32, report: Report, text: String) {
        let result = try Shell.run(nbdext, ["check-driver", "--json"] + arguments)
        let report = try JSONDecoder().decode(Report.self, from: Data(result.output.utf8))
        return (result.status, report, result.output + result.errors)
    }

    @Test("the example builds by itself, passes, and is served")
    func example() throws {
        let driver = try ExampleDriver.built.get()
        let scratch = TemporaryDirectory()
        let (status, report, text) = try check([driver])
        #expect(status == 0 && report.passed, "\(text)")
        #expect(Set(report.checks.map(\.mode)) == ["bundled", "legacy"])
        #expect(report.faults.map(\.fault) == ["B29"], "it declines bundled mode, and nothing else is said of it")
        #expect(report.checks.contains { $0.check == "stress" && $0.verdict == "passed" })
        try serve(driver, in: scratch)
    }

    private func serve(_ driver: String, in directory: TemporaryDirectory) throws {
        let socket = directory.path + "/socket"
        let server = try Program(nbdext, ["serve", "--driver", driver, "--socket", socket])
        defer { #expect(server.stop() == 0, "\(server.said)") }
        try server.waitFor("ready: ")
        #expect(server.output.contains("target-0"))
        let uri = "nbd+unix:///target-0?socket=\(socket)"
        if Shell.has("nbdinfo") {
            #expect(try Shell.run("nbdinfo", ["--size", uri]).output == "67108864\n")
        }
        if Shell.has("qemu-io") {
            let commands = [
                "write -P 7 0 3M", "write -P 9 1001 70001", "read -P 9 1001 70001", "read -P 7 1M 2M", "flush",
            ]
            let result = try Shell.run("qemu-io", ["-f", "raw"] + commands.flatMap { ["-c", $0] } + [uri])
            #expect(result.status == 0 && !result.output.contains("failed"), "\(result.output)\(result.errors)")
        }
    }

    @Test("the reference driver passes in both modes")
    func referenceDriver() throws {
        let (status, report, text) = try check([sibling("nbdext-raid-driver"), "--card"])
        #expect(status == 0 && report.passed, "\(text)")
        #expect(report.faults.isEmpty, "\(text)")
        #expect(report.checks.allSatisfy { $0.verdict == "passed" }, "\(text)")
        #expect(report.checks.contains { $0.check == "restart after kill" && $0.mode == "legacy" })
    }

    @Test(
        "a driver with a mistake fails, and its mistake is named",
        arguments: [
            ("create-on-default-queue", "B02", "bundled"), ("sleep-in-start-controller", "B06", "bundled"),
            ("interrupt-before-initialization", "B08", "bundled"), ("wait-in-stop", "B12", "bundled"),
            ("tasks-outstanding-at-stop", "B15", "bundled"), ("missing-retain", "B22", "legacy"),
            ("slot-completed-twice", "B30", "bundled"), ("bus-address-dereferenced", "B39", "bundled"),
            ("writes-reordered", "B42", "bundled"), ("flush-ignored", "B43", "bundled"),
            ("driver-crash", "B51", "bundled"),
        ])
    func faulty(name: String, fault: String, mode: String) throws {
        let (status, report, text) = try check([
            sibling("nbdext-scenario-driver"), "--card", "--mode", mode, "--driver-argument", name,
        ])
        #expect(status == 1 && !report.passed)
        #expect(report.faults.contains { $0.fault == fault }, "\(text)")
        #expect(report.checks.contains { $0.verdict == "failed" && $0.faults.contains(fault) }, "\(text)")
    }

    @Test("what is not a driver is told apart")
    func noDriver() throws {
        let result = try Shell.run(nbdext, ["check-driver", "/bin/true"])
        #expect(result.status == 1)
        // Once for each mode, and no titles with nothing below them.
        #expect(result.output.contains("the driver has failed 2 of 2 checks"), "\(result.output)")
        #expect(!result.output.contains("last messages"), "\(result.output)")
        #expect(try Shell.run(nbdext, ["check-driver", "/no/such/program"]).status != 0)
    }
}
