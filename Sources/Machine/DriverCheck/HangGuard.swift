import Glibc
import Platform

/// Ends the process when a check hangs: a driver may never complete what the check waits for.
///
/// Threads: any.
final class HangGuard: Sendable {
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) var name = ""
    private nonisolated(unsafe) var deadline = UInt64.max
    private static let limitMilliseconds: UInt64 = 120_000

    init() throws {
        let thread = try OSThread(name: "guard") { [self] in
            while true {
                _ = OneShotEvent().wait(milliseconds: 500)
                let late = lock.withLock { monotonicMilliseconds() > deadline ? name : nil }
                guard let late else { continue }
                writeMessage(
                    "the check '\(late)' has not come back for \(Self.limitMilliseconds / 1000) s: failed",
                    level: .error)
                fflush(nil)
                _exit(1)
            }
        }
        thread.detach()
    }

    /// Runs a check under the time limit.
    func watch<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        lock.withLock {
            self.name = name
            deadline = monotonicMilliseconds() + Self.limitMilliseconds
        }
        defer { lock.withLock { deadline = .max } }
        return try body()
    }
}
