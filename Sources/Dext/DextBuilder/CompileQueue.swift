import Glibc
import Platform

/// Runs the steps of a build side by side, as many at a time as there are processors.
final class CompileQueue: @unchecked Sendable {
    // SAFETY: everything that changes is touched under `lock`.
    private let lock = Lock()
    private var waiting: [CompileStep]
    private var failed: [String] = []
    private var failure: OSError?
    private var beginning = 0
    private let count: Int
    private let report: @Sendable (DextBuild.Event) -> Void

    /// - Parameters:
    ///   - steps: in the order in which they begin.
    ///   - report: called under a lock, so that what it prints is never mixed.
    init(_ steps: [CompileStep], report: @escaping @Sendable (DextBuild.Event) -> Void) {
        waiting = steps.reversed()
        count = steps.count
        self.report = report
    }

    /// Runs all steps. A step that fails does not stop the others, so that a developer sees all errors at once.
    /// - Returns: the titles of the steps that failed.
    func run() throws(OSError) -> [String] {
        let threadCount = min(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), count)
        let ended = (1..<max(threadCount, 1)).compactMap { _ -> OneShotEvent? in
            let event = OneShotEvent()
            // Without another thread, this one does all.
            let thread = try? OSThread(name: "compile") {
                self.work()
                event.set()
            }
            guard let thread else { return nil }
            thread.detach()
            return event
        }
        work()
        for event in ended { event.wait() }
        if let failure { throw failure }
        return failed
    }

    private func work() {
        while let step = next() {
            do {
                let (output, isDone) = try step.run()
                lock.withLock {
                    if !isDone { failed.append(step.title) }
                    if !output.isEmpty { report(.compilerOutput(output)) }
                }
            } catch {
                lock.withLock {
                    failure = error
                    waiting = []
                }
            }
        }
    }

    private func next() -> CompileStep? {
        lock.withLock {
            guard let step = waiting.popLast() else { return nil }
            beginning += 1
            report(.step(beginning, of: count, step.title))
            return step
        }
    }
}
