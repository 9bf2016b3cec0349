import Platform

/// What all members of a simulated array share: chance, time, power, and the room on their disk.
///
/// Threads: one.
final class SimulatedWorld: @unchecked Sendable {
    // SAFETY: a simulation has one thread.

    var random: SeededGenerator
    /// Where member I/O of the present process waits to be ended.
    var channels: [SimulatedChannel] = []
    /// What the array has told people, and nobody has looked at yet.
    var news: [String] = []
    /// The clock of the array's maintenance.
    private(set) var nanoseconds: UInt64 = 1
    /// Counts events, so that they can be compared.
    private(set) var time: UInt64 = 1
    /// The process has died, or the power is off: nothing has an effect any more until the crash is settled.
    private(set) var isDown = false
    /// The members' file system has no room.
    var isFull = false
    /// Synchronous member I/Os until the crash, when one is to happen at such a point.
    private var synchronousUntilCrash: Int?

    init(random: SeededGenerator) { self.random = random }

    /// The time of a new event.
    func tick() -> UInt64 {
        time += 1
        return time
    }

    /// Lets some time pass: none, or enough for whatever waits.
    func passTime() { nanoseconds += random.pick([0, 1_000_000, 200_000_000, 6_000_000_000]) }

    func goDown() { isDown = true }

    /// After a crash was settled.
    func comeUp() {
        isDown = false
        synchronousUntilCrash = nil
    }

    /// Lets the crash happen at one of the next synchronous I/Os, or at none of them.
    func setSynchronousCrash(after count: Int?) { synchronousUntilCrash = count }

    /// Counts a synchronous I/O.
    /// - Returns: false when this is the one at which everything ends.
    func passesSynchronousPoint() -> Bool {
        if isDown { return false }
        guard let left = synchronousUntilCrash else { return true }
        synchronousUntilCrash = left - 1
        if left > 0 { return true }
        goDown()
        return false
    }
}
