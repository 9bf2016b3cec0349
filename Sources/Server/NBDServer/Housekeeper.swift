import BlockStorage
import CLinux
import Platform

/// Gives memory back that nobody uses any more, and has clients looked at that keep memory from others.
///
/// Threads: one of its own, which wakes twice in a second.
final class Housekeeper: Sendable {
    private static let periodMilliseconds = 500
    /// Periods for which a free page of the arena keeps its memory: 10 s. To get it anew costs more than the request.
    private static let trimAge = 20

    private let stopped = Event()
    private let finished = Event()

    /// - Parameters:
    ///   - services: whose arenas are trimmed.
    ///   - tidy: called in each period with the time in milliseconds; returns whether there are clients.
    /// - Throws: when the system has no room for a thread.
    init(services: [any BlockService], tidy: @escaping @Sendable (UInt64) -> Bool) throws(OSError) {
        var arenas: [DataArena] = []
        for service in services where !arenas.contains(where: { $0 === service.arena }) { arenas.append(service.arena) }
        let thread = try OSThread(name: "housekeeper") { [arenas, stopped, finished] in
            var idlePeriods = 0
            while !stopped.wait(milliseconds: Self.periodMilliseconds) {
                for arena in arenas { arena.trim(age: Self.trimAge) }
                idlePeriods = tidy(monotonicMilliseconds()) ? 0 : idlePeriods + 1
                // What connections had on the heap is free, but stays the process's until then.
                if idlePeriods == Self.trimAge { nbdext_trim_heap() }
            }
            finished.set()
        }
        thread.detach()
    }

    /// Returns when the thread has ended.
    func stop() {
        stopped.set()
        finished.wait()
    }
}
