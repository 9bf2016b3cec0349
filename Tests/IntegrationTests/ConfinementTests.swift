import CLinux
import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// What a driver's process cannot get at.
@Suite("A driver that tries to get out", .serialized, .blocks, .slow)
struct ConfinementTests {
    private static let testDriver = sibling("nbdext-test-driver")
    private static let hasLandlock = nbdext_landlock_version() >= 6
    private static let hasFilters =
        (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8))?
        .contains("Seccomp_filters:") == true

    @Test(
        "gets at nothing of the server's, its files', its user's or the network's",
        .enabled(if: hasLandlock, "the kernel has no Landlock, or one that leaves signals out"),
        .enabled(if: hasFilters, "the kernel has no seccomp filters"))
    func attempts() throws {
        let (text, attempts) = try serveEscaping(nbdext)
        for attempt in attempts { #expect(attempt.contains(": refused, "), "\(attempt)") }
        #expect(!text.contains("this kernel has no"), "\(text)")
    }

    @Test(
        "gets at no process without Landlock either, and the server says what it can get at",
        .enabled(if: hasFilters, "the kernel has no seccomp filters"))
    func withoutLandlock() throws {
        let (text, attempts) = try serveEscaping(Self.testDriver, ["without-landlock", nbdext])
        #expect(text.contains("this kernel has no Landlock"), "\(text)")
        let processes = attempts.filter { $0.contains("parent") || $0.contains("network") || $0.contains("socket") }
        #expect(processes.count > 10)
        for attempt in processes { #expect(attempt.contains(": refused, "), "\(attempt)") }
    }

    /// Serves with the driver that tries, and stops.
    /// - Returns: what was said on standard error, and the lines of it that say how each attempt went.
    private func serveEscaping(_ program: String, _ arguments: [String] = []) throws -> (String, [Substring]) {
        let directory = TemporaryDirectory()
        let path = directory.path + "/a"
        let created = try Shell.run(nbdext, ["create", path, "--level", "5", "--members", "3", "--size", "64M"])
        try #require(created.status == 0, "\(created.errors)")
        let member = try #require(
            try FileManager.default.contentsOfDirectory(atPath: path).first { $0.hasSuffix(".img") })
        let server = try Program(
            program,
            arguments + ["serve", path, "--socket", directory.path + "/socket", "--driver", Self.testDriver]
                + ["escapes", "\(path)/\(member)", "\(path)/nbdext.control"].flatMap { ["--driver-argument", $0] })
        try server.waitFor("ready: ")
        let text = server.errors
        #expect(server.output.hasPrefix("ready: "), "\(text)")
        let attempts = text.split(separator: "\n").filter { $0.hasPrefix("attempt: ") }
        #expect(attempts.count > 30 && text.contains("attempts: \(attempts.count)"), "\(text)")
        // It works all the same.
        let read = try Shell.run("nbdinfo", ["--size", "nbd+unix:///?socket=\(directory.path)/socket"])
        #expect(read.status == 0, "\(read.errors)")
        #expect(server.stop() == 0, "\(text)")
        return (text, attempts)
    }

    @Test(
        "ends with its server, also when that is killed: with what it has started, and when it stands still",
        arguments: ["fork", "stopped"])
    func serverKilled(habit: String) throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/a"
        let created = try Shell.run(nbdext, ["create", path, "--level", "5", "--members", "3", "--size", "64M"])
        try #require(created.status == 0, "\(created.errors)")
        let server = try Program(
            nbdext,
            [
                "serve", path, "--socket", directory.path + "/socket", "--driver", Self.testDriver, "--driver-argument",
                habit,
            ])
        try server.waitFor("ready: ")
        let uri = "nbd+unix:///?socket=\(directory.path)/socket"
        // Enough for the habit to begin.
        let copied = try Shell.run("nbdcopy", [uri, "null:"])
        try #require(copied.status == 0, "\(copied.errors)")
        func members(_ group: pid_t) -> [pid_t] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
            return names.compactMap { pid_t($0) }.filter { getpgid($0) == group && !isDead($0) }
        }
        func isDead(_ process: pid_t) -> Bool {
            let text = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
            return text.contains(") Z ")
        }
        let children = try Shell.run("ps", ["-o", "pid=", "--ppid", "\(server.identifier)"]).output
        let driver = try #require(pid_t(children.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(members(driver).count == (habit == "fork" ? 4 : 1))
        if habit == "stopped" { kill(driver, SIGSTOP) }
        server.stop(by: SIGKILL)
        #expect(eventually { members(driver).isEmpty })
    }
}
