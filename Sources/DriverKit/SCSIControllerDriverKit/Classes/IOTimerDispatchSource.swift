// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Glibc
import Platform

/// Deadlines of `WakeAtTime` are nanoseconds of the clock that stands still while the machine sleeps.
public let kIOTimerClockUptimeRaw: UInt64 = 0x88
/// Deadlines of `WakeAtTime` are nanoseconds of the clock that no adjustment touches.
public let kIOTimerClockMonotonicRaw: UInt64 = 0x84
/// Deadlines of `WakeAtTime` are nanoseconds since 1970.
public let kIOTimerClockRealTime: UInt64 = 0x80
/// Deadlines of `WakeAtTime` are nanoseconds since 1970.
public let kIOTimerClockWallTime: UInt64 = 0x80
/// Deadlines of `WakeAtTime` are ticks of `mach_absolute_time`.
public let kIOTimerClockMachAbsoluteTime: UInt64 = 0xC8
/// Deadlines of `WakeAtTime` are ticks of `mach_continuous_time`.
public let kIOTimerClockMachContinuousTime: UInt64 = 0xC4

/// The time of every clock but the one since 1970, which are one here: nanoseconds by the clock of the driver's kernel
/// half. A tick is a nanosecond.
public func mach_absolute_time() -> UInt64 {
    let clock = DriverContext.ofCaller?.clock ?? .machine
    return clock.isMachine ? monotonicNanoseconds() : clock.milliseconds * 1_000_000
}

/// The same as `mach_absolute_time`, since this machine does not sleep.
public func mach_continuous_time() -> UInt64 { mach_absolute_time() }

/// Nanoseconds since 1970.
private func wallClockNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Calls an action on a queue at a time that the driver sets, once for each setting. It is good to a millisecond.
public final class IOTimerDispatchSource: IODispatchSource, @unchecked Sendable {
    // SAFETY: constants, and what has a lock of its own.
    private let alarm: Alarm

    private override init(queue: IODispatchQueue) {
        alarm = Alarm(clock: DriverContext.ofCaller?.clock ?? .machine)
        super.init(queue: queue)
        alarm.ring = { [events, queue] time in
            queue.runLater("the timer's handler") { events.take()?.call(time) }
        }
    }

    deinit { alarm.end() }

    /// Makes a source whose handler runs on `queue`.
    public static func Create(
        _ queue: IODispatchQueue, _ source: inout IOTimerDispatchSource?
    ) -> kern_return_t {
        source = IOTimerDispatchSource(queue: queue)
        return kIOReturnSuccess
    }

    /// Sets the action to call. Its number is the time at which the timer went off, in ticks.
    public func SetHandler(_ action: OSAction) -> kern_return_t {
        action.isCallback && events.set(action) != nil ? kIOReturnSuccess : kIOReturnBadArgument
    }

    /// Sets the time of the next call, in place of a time that has not come yet.
    /// - Parameters:
    ///   - options: one of the `kIOTimerClock…` numbers.
    ///   - deadline: the time, by that clock.
    ///   - leeway: how much later the call may be; ignored here.
    public func WakeAtTime(_ options: UInt64, _ deadline: UInt64, _ leeway: UInt64) -> kern_return_t {
        let now: UInt64
        switch options {
        case kIOTimerClockUptimeRaw, kIOTimerClockMonotonicRaw, kIOTimerClockMachAbsoluteTime,
            kIOTimerClockMachContinuousTime:
            now = mach_absolute_time()
        case kIOTimerClockRealTime: now = wallClockNanoseconds()
        default: return kIOReturnBadArgument
        }
        let nanoseconds = deadline > now ? deadline - now : 0
        return alarm.set(afterMilliseconds: nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1))
            ? kIOReturnSuccess : kIOReturnNoResources
    }

    /// The time by the driver's clock, milliseconds, until which the timer's thread sleeps; nil when it does not.
    package var sleepsUntil: UInt64? { alarm.sleepsUntil }

    override func signal() { _ = alarm.set(afterMilliseconds: 0) }

    override func cancelled() { alarm.end() }
}

/// Rings at a time, which may be changed until then. Its thread is made when it is first set, and ends with it.
private final class Alarm: @unchecked Sendable {
    // SAFETY: `ring` is set before the first `set`; the rest is touched only under `lock`.
    var ring: (@Sendable (UInt64) -> Void)?
    private let clock: DeadlineClock
    private let lock = Lock()
    private var due: UInt64?
    private var isEnded = false
    private var hasThread = false
    /// Wakes the thread before its time, and the time for which it sleeps, milliseconds.
    private var sleep: (event: OneShotEvent, until: UInt64)?
    private static let idleMilliseconds: UInt64 = 3_600_000

    init(clock: DeadlineClock) { self.clock = clock }

    var sleepsUntil: UInt64? { lock.withLock { sleep?.until } }

    /// - Returns: false when there is no thread.
    func set(afterMilliseconds milliseconds: UInt64) -> Bool {
        let needsThread = lock.withLock {
            due = clock.milliseconds + milliseconds
            // A thread that wakes too early looks again, so a later time needs no waking.
            if let sleep, due! < sleep.until { sleep.event.set() }
            defer { hasThread = true }
            return !hasThread && !isEnded
        }
        guard needsThread else { return true }
        do {
            try OSThread(name: "timer") { [self] in run() }.detach()
            return true
        } catch {
            lock.withLock { hasThread = false }
            return false
        }
    }

    func end() {
        lock.withLock {
            isEnded = true
            sleep?.event.set()
        }
    }

    private func run() {
        while let (event, milliseconds) = next() {
            if milliseconds > 0 {
                _ = clock.wait(for: event, milliseconds: Int(milliseconds))
            } else {
                ring?(clock.isMachine ? monotonicNanoseconds() : clock.milliseconds * 1_000_000)
            }
        }
    }

    /// The next sleep: its event, and its length; 0 when it is time to ring. Nil when the alarm has ended.
    private func next() -> (OneShotEvent, UInt64)? {
        lock.withLock {
            sleep = nil
            if isEnded { return nil }
            let now = clock.milliseconds
            let event = OneShotEvent()
            if let due, due <= now {
                self.due = nil
                return (event, 0)
            }
            let milliseconds = min(due.map { $0 - now } ?? Self.idleMilliseconds, Self.idleMilliseconds)
            sleep = (event, now + milliseconds)
            return (event, milliseconds)
        }
    }
}
