import Glibc
import Platform
import Synchronization
import Testing

/// What a suite needs of the machine; each suite whose tests wait for anything says one of the three.
///
/// Tests run side by side on Swift's pool of threads, which has one for each processor. A test that blocks keeps one of
/// them from all others, and two of them stop the run. So the bodies of these suites run on threads of their own.
///
/// * `.blocks`: the tests wait for threads, processes, sockets or files. A few of all those suites run at a time.
/// * `.busy`: besides, they keep a processor busy. Three at a time, since those with a Linux kernel also wait for it.
/// * `.needsCore`: besides, they judge what happens within some time. One at a time.
///
/// How to wait in them:
///
/// * Wait for a state, not for a time. Limits are there for hangs only, and `hangMinutes` does that for all: a loaded
/// machine may take a hundred times as long as an idle one. `OneShotEvent.comes` waits for an event, and `eventually`
/// looks until something is so. * Where deadlines are the subject, the test turns the time itself:
/// `DeadlineClock.standing()` and its `turn`, which returns when each thread that was due has looked. The tests of
/// recovery and of waits among queues do so.
package struct Needs: SuiteTrait, TestTrait, TestScoping {
    /// After so long a test hangs: the run ends there, and the threads' stacks say where it does.
    package static let hangMinutes = 10

    fileprivate let gate: Gate

    package var isRecursive: Bool { true }

    package func scopeProvider(for test: Test, testCase: Test.Case?) -> Needs? { testCase == nil ? nil : self }

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing body: @Sendable () async throws -> Void
    ) async throws {
        await gate.enter()
        defer { gate.leave() }
        let hang = Task {
            try await Task.sleep(for: .seconds(Self.hangMinutes * 60))
            fatalError("the test \"\(test.displayName ?? test.name)\" hangs: it runs for \(Self.hangMinutes) minutes")
        }
        defer { hang.cancel() }
        let thread = try OwnThread()
        defer { thread.finish() }
        let begin = monotonicMilliseconds()
        try await withTaskExecutorPreference(thread) { try await body() }
        TestTimes.note(test, milliseconds: monotonicMilliseconds() - begin)
    }
}

extension Trait where Self == Needs {
    /// The tests wait for others.
    package static var blocks: Needs { Needs(gate: .blocking) }
    /// The tests keep a processor busy.
    package static var busy: Needs { Needs(gate: .busy) }
    /// The tests need a processor to themselves.
    package static var needsCore: Needs { Needs(gate: .core) }
}

/// Lets some pass, and the others in the order in which they came.
private final class Gate: Sendable {
    static let blocking = Gate(width: 6)
    static let busy = Gate(width: 3)
    static let core = Gate(width: 1)

    private struct State {
        var free: Int
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>

    init(width: Int) { state = Mutex(State(free: width)) }

    func enter() async {
        await withCheckedContinuation { continuation in
            let passes = state.withLock { state in
                guard state.free > 0 else {
                    state.waiting.append(continuation)
                    return false
                }
                state.free -= 1
                return true
            }
            if passes { continuation.resume() }
        }
    }

    func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}

/// Runs tasks on one thread that nothing else uses.
private final class OwnThread: TaskExecutor {
    private let jobs = Mutex<[UnownedJob]>([])
    private let wakeup = AutoResetEvent()
    private let isFinished = Atomic<Bool>(false)

    init() throws {
        try OSThread(name: "test") { [self] in
            // Threads of Swift's pool block all signals, which programs that a test starts would inherit.
            var none = sigset_t()
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, nil)
            run()
        }.detach()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
        wakeup.set()
    }

    /// Lets the thread end.
    func finish() {
        isFinished.store(true, ordering: .releasing)
        wakeup.set()
    }

    private func run() {
        while true {
            let ready = jobs.withLock { jobs in
                defer { jobs = [] }
                return jobs
            }
            for job in ready { job.runSynchronously(on: asUnownedTaskExecutor()) }
            if !ready.isEmpty { continue }
            if isFinished.load(ordering: .acquiring) { return }
            wakeup.wait()
        }
    }
}

/// How long each body took, without the time for which it waited to begin.
private enum TestTimes {
    /// A file that gets a line for each.
    private static let path = getenv("NBDEXT_TEST_TIMES").map { String(cString: $0) }

    static func note(_ test: Test, milliseconds: UInt64) {
        guard let path else { return }
        let file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        defer { close(file) }
        let suite = test.id.nameComponents.dropLast().joined(separator: ".")
        var line = "\(milliseconds) \(test.id.moduleName).\(suite): \(test.displayName ?? test.name)\n"
        line.withUTF8 { _ = write(file, $0.baseAddress, $0.count) }
    }
}

/// A minute before a test counts as one that hangs.
private let patienceMilliseconds = (Needs.hangMinutes - 1) * 60_000

extension OneShotEvent {
    /// Waits until it is set; false when it never will be.
    package func comes() -> Bool { wait(milliseconds: patienceMilliseconds) }
}

extension DeadlineClock {
    /// Lets time pass as the machine's does, on another thread, while a body runs: for a clock that the body turns only
    /// where it waits for nothing but time.
    package func running<Result>(_ body: () throws -> Result) throws -> Result {
        let (isOver, hasEnded) = (OneShotEvent(), OneShotEvent())
        try OSThread(name: "time") {
            var last = monotonicMilliseconds()
            while !isOver.wait(milliseconds: 2) {
                let now = monotonicMilliseconds()
                push(byMilliseconds: now - last)
                last = now
            }
            hasEnded.set()
        }.detach()
        defer {
            isOver.set()
            hasEnded.wait()
        }
        return try body()
    }
}

/// Looks again and again until something is so; false when it never will be.
package func eventually(everyMilliseconds pause: Int = 2, _ isSo: () throws -> Bool) rethrows -> Bool {
    let end = monotonicMilliseconds() + UInt64(patienceMilliseconds)
    while try !isSo() {
        if monotonicMilliseconds() > end { return false }
        _ = OneShotEvent().wait(milliseconds: pause)
    }
    return true
}
