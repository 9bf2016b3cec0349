import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// What a driver prints, and what commands that run drivers leave behind.
@Suite("Around a driver's process", .serialized, .blocks, .slow)
struct DriverOutputTests {
    @Test("what a driver prints arrives on standard error, also what it prints last", arguments: ["traps", "stops"])
    func output(end: String) throws {
        let result = try Shell.run(
            nbdext,
            [
                "check-driver", sibling("nbdext-test-driver"), "--card", "--mode", "bundled", "--driver-argument",
                "prints-and-\(end)",
            ])
        #expect(result.errors.contains("a whole line\n"), "\(result.errors)")
        #expect(result.errors.contains(end == "traps" ? "before the trap" : "at the stop"), "\(result.errors)")
        #expect(!result.output.contains("a whole line"))
    }

    /// - Parameter signal: 0 lets the command end by itself.
    @Test("a scenario leaves nothing behind, however it ends", arguments: [0, SIGINT, SIGTERM, SIGHUP, SIGKILL])
    func leavesNothing(signal: Int32) throws {
        let directory = TemporaryDirectory()
        let output = Pipe()
        let program = try Program(
            nbdext, ["scenario", "run", signal == 0 ? "driver-crash" : "sleep-in-start-controller"],
            output: output.fileHandleForWriting, errors: output.fileHandleForWriting,
            environment: ["TMPDIR": directory.path])
        try output.fileHandleForWriting.close()
        func names() -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? [] }
        if signal != 0 {
            while names().isEmpty && program.isRunning { usleep(1000) }
            #expect(!names().isEmpty)
            program.signal(signal)
        }
        // Whoever reads the output to its end finds nothing left.
        _ = output.fileHandleForReading.readDataToEndOfFile()
        program.wait()
        #expect(names() == [])
    }
}
