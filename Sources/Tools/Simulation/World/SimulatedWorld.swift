import Platform

/// The state that all members of a simulated array share: random numbers, time, power, and the room of their file
/// system.
///
/// Threads: one.
final class SimulatedWorld: @unchecked Sendable {
    // SAFETY: a simulation has one thread.

    var random: SeededGenerator
    /// The channels of the present process, with the member I/O that waits to be ended.
    var channels: [SimulatedChannel] = []
    /// The array's messages that have not been read yet.
    var news: [String] = []
    /// The clock of the array's maintenance.
    private(set) var nanoseconds: UInt64 = 1
    /// Counts events, which gives them an order.
    private(set) var time: UInt64 = 1
    /// The process has died, or the power is off: nothing has an effect until `comeUp`.
    private(set) var isDown = false
    /// The members' file system has no room.
    var isFull = false
    /// The synchronous member I/Os left until a crash; nil when none is set.
    private var synchronousUntilCrash: Int?

    init(random: SeededGenerator) { self.random = random }

    /// The time of a new event.
    func tick() -> UInt64 {
        time += 1
        return time
    }

    /// Lets some time pass: none, or enough for most waits.
    func passTime() { nanoseconds += random.pick([0, 1_000_000, 200_000_000, 6_000_000_000]) }

    func goDown() { isDown = true }

    /// Begins again after a crash.
    func comeUp() {
        isDown = false
        synchronousUntilCrash = nil
    }

    /// Sets a crash at the synchronous I/O after the next `count` ones, or with nil none.
    func setSynchronousCrash(after count: Int?) { synchronousUntilCrash = count }

    /// Counts a synchronous I/O.
    /// - Returns: false when the crash happens at this I/O, or has happened.
    func passesSynchronousPoint() -> Bool {
        if isDown { return false }
        guard let left = synchronousUntilCrash else { return true }
        synchronousUntilCrash = left - 1
        if left > 0 { return true }
        goDown()
        return false
    }
}
