import CLinux
import Foundation
import TestTraits
import Testing

/// What a driver's process cannot get at.
@Suite("A driver that tries to get out", .serialized, .blocks)
struct ConfinementTests {
    private static let testDriver = URL(fileURLWithPath: nbdext).deletingLastPathComponent()
        .appendingPathComponent("nbdext-test-driver").path
    private static let hasLandlock = nbdext_landlock_version() >= 6
    private static let hasFilters =
        (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8))?
        .contains("Seccomp_filters:") == true

    @Test(
        "gets at nothing of the server's, its files', its user's or the network's",
        .enabled(if: hasLandlock, "the kernel has no Landlock, or one that leaves signals out"),
        .enabled(if: hasFilters, "the kernel has no seccomp filters"))
    func attempts() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/a"
        let created = try Shell.run(nbdext, ["create", path, "--level", "5", "--members", "3", "--size", "64M"])
        try #require(created.status == 0, "\(created.errors)")
        let member = try #require(
            try FileManager.default.contentsOfDirectory(atPath: path).first { $0.hasSuffix(".img") })
        let server = Process()
        server.executableURL = URL(fileURLWithPath: nbdext)
        server.arguments =
            ["serve", path, "--socket", directory.path + "/socket", "--driver", Self.testDriver]
            + ["escapes", "\(path)/\(member)", "\(path)/nbdext.control"].flatMap { ["--driver-argument", $0] }
        let errors = directory.path + "/errors"
        _ = FileManager.default.createFile(atPath: errors, contents: nil)
        server.standardError = FileHandle(forWritingAtPath: errors)
        let output = Pipe()
        server.standardOutput = output
        try server.run()
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        let text = try String(contentsOfFile: errors, encoding: .utf8)
        #expect(line.hasPrefix("ready: "), "\(text)")
        let attempts = text.split(separator: "\n").filter { $0.hasPrefix("attempt: ") }
        #expect(attempts.count > 30 && text.contains("attempts: \(attempts.count)"), "\(text)")
        for attempt in attempts { #expect(attempt.contains(": refused, "), "\(attempt)") }
        // It works all the same.
        let read = try Shell.run("nbdinfo", ["--size", "nbd+unix:///?socket=\(directory.path)/socket"])
        #expect(read.status == 0, "\(read.errors)")
        server.terminate()
        server.waitUntilExit()
        #expect(server.terminationStatus == 0, "\(text)")
    }
}
