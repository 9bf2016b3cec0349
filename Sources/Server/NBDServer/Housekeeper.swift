import BlockStorage
import CLinux
import Platform

/// Returns unused memory to the system, and regularly has the server end clients that keep memory from others.
///
/// Threads: one of its own, which wakes twice a second.
final class Housekeeper: Sendable {
    private static let periodMilliseconds = 500
    /// Periods for which a free page of the arena keeps its memory: 10 s. Getting a page from the system again costs
    /// more than a request.
    private static let trimAge = 20

    private let stopped = OneShotEvent()
    private let finished = OneShotEvent()

    /// - Parameters:
    ///   - services: whose arenas are trimmed.
    ///   - tidy: called in each period with the time in milliseconds; returns whether clients have lanes.
    /// - Throws: when no thread can be made.
    init(services: [any BlockService], tidy: @escaping @Sendable (UInt64) -> Bool) throws(OSError) {
        var arenas: [DataArena] = []
        for service in services where !arenas.contains(where: { $0 === service.arena }) { arenas.append(service.arena) }
        let thread = try OSThread(name: "housekeeper") { [arenas, stopped, finished] in
            var idlePeriods = 0
            while !stopped.wait(milliseconds: Self.periodMilliseconds) {
                for arena in arenas { arena.trim(age: Self.trimAge) }
                idlePeriods = tidy(monotonicMilliseconds()) ? 0 : idlePeriods + 1
                // The heap memory of lanes that were closed is free, but the process keeps it until it is trimmed.
                if idlePeriods == Self.trimAge { nbdext_trim_heap() }
            }
            finished.set()
        }
        thread.detach()
    }

    /// Ends the thread, and returns when it has ended.
    func stop() {
        stopped.set()
        finished.wait()
    }
}
