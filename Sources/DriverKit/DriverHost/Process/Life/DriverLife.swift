import Platform

/// A driver's processes, one after another: which one runs now, whether another one will follow, and who sees to that.
///
/// Threads: any.
final class DriverLife: @unchecked Sendable {
    // SAFETY: `state` under `lock`.
    private let lock = Lock()
    private var state = State()
    /// Set when no other process is to follow. Ends the pauses between starts.
    let stopRequested = OneShotEvent()

    private struct State {
        var current: DriverInstance?
        /// Starts the driver again when it ends; nil while its end is wanted, or somebody's business already.
        weak var supervisor: DriverSupervisor?
        var isStopped = false
        /// Set when the driver runs again or is given up. Nil while no thread starts it again.
        var mourning: OneShotEvent?
    }

    /// The current process, or the last one.
    var instance: DriverInstance? { lock.withLock { state.current } }

    // MARK: Beginnings

    /// Makes a new process the current one.
    /// - Returns: false when none is wanted any more; the caller ends the process.
    func begin(with instance: DriverInstance) -> Bool {
        lock.withLock {
            if !state.isStopped { state.current = instance }
            return !state.isStopped
        }
    }

    /// Has the driver started again whenever it ends, from now on.
    /// - Returns: the driver's process if it has ended already, since no thread may have noticed.
    func supervise(by supervisor: DriverSupervisor) -> DriverInstance? {
        let current = lock.withLock {
            state.supervisor = state.isStopped ? nil : supervisor
            endMourningLocked()
            return state.current
        }
        return current?.isAlive == true ? nil : current
    }

    // MARK: Ends that nobody asked for

    /// Sees to the end of a process. Runs on its control link's thread, which has no other work left.
    func died(_ instance: DriverInstance) {
        var dead: DriverInstance? = instance
        while let instance = dead, let supervisor = beginMourning(of: instance) { dead = supervisor.mourn(instance) }
    }

    /// Notes that a process is gone.
    /// - Returns: the supervisor, which the caller asks to start the driver again; nil when the end was wanted, or
    ///   another thread sees to it.
    private func beginMourning(of instance: DriverInstance) -> DriverSupervisor? {
        lock.withLock {
            guard state.current === instance, let supervisor = state.supervisor else { return nil }
            assert(state.mourning == nil, "two threads start the driver again")
            state.supervisor = nil
            state.mourning = OneShotEvent()
            return supervisor
        }
    }

    /// Ends the attempts to start the driver again.
    func endMourning() { lock.withLock { endMourningLocked() } }

    private func endMourningLocked() {
        state.mourning?.set()
        state.mourning = nil
    }

    // MARK: Ends that are wanted

    /// Ends the current process at once. It is started again if it is supervised.
    func endProcess() {
        if let instance { end(instance) }
    }

    /// Ends a process at once. Threads that wait for it go on.
    func end(_ instance: DriverInstance) {
        instance.child.kill()
        // A process that has left the driver's group may hold the other end open.
        instance.link.close()
    }

    /// Says that no process is to follow the current one. An attempt to start one fails soon.
    func stop() {
        _ = stopLocked()
        stopRequested.set()
    }

    /// Says that no process is to follow the current one, and waits until no thread starts one.
    func stopAndWait() {
        let (current, mourning) = stopLocked()
        stopRequested.set()
        guard let mourning else { return }
        // This fails a start that is under way.
        current?.link.close()
        mourning.wait()
    }

    private func stopLocked() -> (DriverInstance?, OneShotEvent?) {
        lock.withLock {
            state.isStopped = true
            state.supervisor = nil
            return (state.current, state.mourning)
        }
    }

    /// Forgets the last process, which has ended.
    func end() {
        lock.withLock {
            assert(state.isStopped && state.mourning == nil, "the driver's life ends while it may begin again")
            state.current = nil
        }
    }
}
