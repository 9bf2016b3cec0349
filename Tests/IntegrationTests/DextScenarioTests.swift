import Foundation
import Scenarios
import TestTraits
import Testing

/// The mistakes of the scenarios, made by a driver in C++: what the detectors see of a driver is the same in both
/// languages.
@Suite("nbdext scenario --language c++", .serialized, .needsCore, .slow)
struct DextScenarioTests {
    private func run(_ arguments: String...) throws -> Program {
        let program = try Program(nbdext, arguments)
        program.wait()
        return program
    }

    @Test("names each mistake of a driver, and nothing else")
    func all() throws {
        let program = try run("scenario", "run", "--all", "--language", "c++")
        #expect(program.wait() == 0, "\(program.said)")
        let lines = program.output.split(separator: "\n").filter { $0.hasPrefix("B") }
        let expected = Scenario.all.filter { $0.reasonWithoutDext == nil }
        #expect(expected.count == Scenario.all.count - 10)
        #expect(lines.map(String.init) == expected.map { "\($0.fault.rawValue)  named   \($0.name)" })
    }

    @Test("the driver without a mistake passes check-driver")
    func clean() throws {
        _ = try run("scenario", "run", "no-tasks", "--language", "c++")
        let checked = try run("check-driver", "\(testCaches)/nbdext/scenarios/RAIDDext.dext", "--card")
        #expect(checked.wait() == 0, "\(checked.said)")
        #expect(!checked.output.contains(/B[0-9][0-9]/), "\(checked.output)")
    }

    @Test("a mistake that has no driver in C++ is refused with the reason")
    func refused() throws {
        for (name, reason) in [("B01", "the build of a bundle refuses it"), ("B38", "the configuration is at fault")] {
            let program = try run("scenario", "run", name, "--language", "c++")
            #expect(program.wait() != 0)
            #expect(program.errors.contains("\(name) has no driver in C++: \(reason)"), "\(program.errors)")
        }
    }
}
