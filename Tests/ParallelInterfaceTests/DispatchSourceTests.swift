import Diagnostics
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

@testable import SCSIControllerDriverKit

@Suite("Timers, interrupt sources and actions", .blocks)
struct DispatchSourceTests {
    /// A driver's context with a clock to turn, a queue, and what was called there.
    private final class Bench: Sendable {
        let clock = DeadlineClock.standing()
        let context: DriverContext
        let queue: IODispatchQueue
        let calls = Mutex<[UInt64]>([])

        init() {
            context = DriverContext(log: DiagnosisLog { _ in })
            context.clock = clock
            queue = IODispatchQueue(name: "Timers", context: context)
        }

        func inDriver<Result>(_ body: () -> Result) -> Result { context.run("a test", body) }

        func timer() -> IOTimerDispatchSource {
            inDriver {
                var source: IOTimerDispatchSource?
                #expect(IOTimerDispatchSource.Create(queue, &source) == kIOReturnSuccess)
                let action = OSAction.Create { [unowned self] _, time in
                    #expect(queue.OnQueue())
                    calls.withLock { $0.append(time / 1_000_000) }
                }
                #expect(source!.SetHandler(action) == kIOReturnSuccess)
                return source!
            }
        }

        /// Sets a timer to so many milliseconds from now.
        func wake(_ timer: IOTimerDispatchSource, after milliseconds: UInt64) {
            inDriver {
                let deadline = mach_absolute_time() + milliseconds * 1_000_000
                #expect(timer.WakeAtTime(kIOTimerClockMonotonicRaw, deadline, 0) == kIOReturnSuccess)
            }
        }
    }

    @Test("a timer calls its action once, on its queue, at its time and not before")
    func timer() {
        let bench = Bench()
        let timer = bench.timer()
        let start = bench.clock.milliseconds
        bench.wake(timer, after: 20)
        bench.clock.awaitSleepers(1)
        bench.clock.turn(byMilliseconds: 19)
        #expect(bench.calls.withLock { $0 } == [])
        bench.clock.turn(byMilliseconds: 1)
        bench.clock.awaitSleepers(1)
        #expect(bench.calls.withLock { $0 } == [start + 20])
        bench.clock.turn(byMilliseconds: 100)
        #expect(bench.calls.withLock { $0.count } == 1)
    }

    @Test("a new time takes the place of the old one, whether it is earlier or later", arguments: [5, 50] as [UInt64])
    func newTime(milliseconds: UInt64) {
        let bench = Bench()
        let timer = bench.timer()
        let start = bench.clock.milliseconds
        bench.wake(timer, after: 20)
        bench.clock.awaitSleepers(1)
        bench.wake(timer, after: milliseconds)
        #expect(eventually { timer.sleepsUntil == start + min(milliseconds, 20) })
        bench.clock.awaitSleepers(1)
        for _ in 0..<60 {
            bench.clock.turn(byMilliseconds: 1)
            bench.clock.awaitSleepers(1)
        }
        #expect(bench.calls.withLock { $0 } == [start + milliseconds])
    }

    @Test("a cancelled timer calls nothing, and its cancel handler comes once")
    func cancelledTimer() {
        let bench = Bench()
        let timer = bench.timer()
        bench.wake(timer, after: 20)
        let isCancelled = OneShotEvent()
        #expect(timer.Cancel { isCancelled.set() } == kIOReturnSuccess)
        #expect(isCancelled.comes())
        #expect(timer.Cancel {} == kIOReturnNotReady)
        #expect(timer.SetHandler(OSAction.Create { _, _ in }) == kIOReturnBadArgument)
        bench.clock.push(byMilliseconds: 100)
        #expect(eventually { bench.clock.sleeperCount == 0 })
        #expect(bench.calls.withLock { $0 } == [])
    }

    @Test("a disabled source keeps its event until it is enabled")
    func disabled() {
        let function = PCIFunction(dart: DART(windowCount: 1, reservedCount: 1))
        let bench = Bench()
        let device = IOPCIDevice(function: function)
        let count = Atomic<Int>(0)
        var source: IOInterruptDispatchSource?
        #expect(IOInterruptDispatchSource.Create(device, 0, bench.queue, &source) == kIOReturnSuccess)
        #expect(source!.SetHandler(OSAction.Create { _, _ in count.add(1, ordering: .relaxed) }) == kIOReturnSuccess)
        function.interruptHandler?()
        #expect(count.load(ordering: .relaxed) == 1)
        #expect(source!.SetEnable(false) == kIOReturnSuccess)
        function.interruptHandler?()
        function.interruptHandler?()
        #expect(count.load(ordering: .relaxed) == 1)
        #expect(source!.SetEnable(true) == kIOReturnSuccess)
        #expect(count.load(ordering: .relaxed) == 2)
        let isCancelled = OneShotEvent()
        #expect(source!.Cancel { isCancelled.set() } == kIOReturnSuccess)
        #expect(isCancelled.comes())
        #expect(function.interruptHandler == nil)
    }

    @Test("a cancelled action is not called, and its handler waits for the call under way")
    func cancelledAction() {
        let order = Mutex<[String]>([])
        let action = OSAction.Create(16) { action, number in
            if number == 1 {
                #expect(action.Cancel { order.withLock { $0.append("cancelled") } } == kIOReturnSuccess)
            }
            order.withLock { $0.append("called \(number)") }
        }
        #expect(action.GetReference()!.load(as: UInt64.self) == 0)
        action.call(0)
        action.call(1)
        action.call(2)
        #expect(order.withLock { $0 } == ["called 0", "called 1", "cancelled"])
        #expect(action.Cancel {} == kIOReturnBadArgument)
        #expect(OSAction(route: .bundledParallelTasks).Cancel {} == kIOReturnBadArgument)
    }

    @Test("work that sleeps leaves its queue to others, and has it again when it is woken", arguments: [1, 5, 40])
    func sleepers(count: Int) {
        let bench = Bench()
        let queue = bench.inDriver { IODispatchQueue(name: "Reentrant", context: bench.context, isReentrant: true) }
        let event = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
        // SAFETY: only its address is used.
        nonisolated(unsafe) let address = UnsafeRawPointer(event)
        defer { event.deallocate() }
        let asleep = Atomic<Int>(0)
        let awake = Mutex<[Bool]>([])
        let finished = OneShotEvent()
        for _ in 0..<count {
            queue.DispatchAsync {
                asleep.add(1, ordering: .relaxed)
                let status = queue.sleep(address, until: .max)
                let isLast = awake.withLock {
                    $0.append(status == kIOReturnSuccess && queue.OnQueue())
                    return $0.count == count
                }
                if isLast { finished.set() }
            }
        }
        #expect(eventually { asleep.load(ordering: .relaxed) == count })
        // The queue is free meanwhile.
        queue.DispatchSync { #expect(awake.withLock { $0.isEmpty }) }
        #expect(queue.wake(address, all: true) == kIOReturnNotPermitted)
        queue.DispatchSync { #expect(queue.wake(address, all: true) == kIOReturnSuccess) }
        #expect(finished.comes())
        #expect(awake.withLock { $0 } == Array(repeating: true, count: count))
        #expect(eventually { queue.runnerThread == 0 })
        queue.DispatchSync { #expect(queue.sleep(address, until: 0) == kIOReturnTimeout && queue.OnQueue()) }
        bench.queue.DispatchSync { #expect(bench.queue.sleep(address, until: 0) == kIOReturnNotPermitted) }
    }

    @Test("work that sleeps keeps no other work from the queue that was there before it, and no thread of the kernel")
    func sleeperBeforeOthers() {
        let bench = Bench()
        let queue = bench.inDriver { IODispatchQueue(name: "Reentrant", context: bench.context, isReentrant: true) }
        let event = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
        // SAFETY: only its address is used.
        nonisolated(unsafe) let address = UnsafeRawPointer(event)
        defer { event.deallocate() }
        let isOver = OneShotEvent()
        let sleeper = queue.addSource("sleeper") {
            #expect(queue.sleep(address, until: .max) == kIOReturnSuccess)
            isOver.set()
        }
        let waker = queue.addSource("waker") { #expect(queue.wake(address, all: true) == kIOReturnSuccess) }
        // Both are taken in one look.
        queue.signal(mask: sleeper | waker)
        #expect(isOver.comes())
        #expect(eventually { queue.runnerThread == 0 })
        queue.runInline("a call of the kernel") {
            queue.DispatchAsync { _ = queue.sleep(address, until: .max) }
        }
        queue.DispatchSync { #expect(queue.wake(address, all: true) == kIOReturnSuccess) }
        #expect(eventually { queue.runnerThread == 0 })
    }

    @Test("a cancelled queue begins no other block than those that somebody waits for")
    func cancelledQueue() {
        let bench = Bench()
        let (isBusy, mayEnd, isCancelled) = (OneShotEvent(), OneShotEvent(), OneShotEvent())
        let ran = Mutex<[String]>([])
        bench.queue.DispatchAsync {
            isBusy.set()
            mayEnd.wait()
        }
        isBusy.wait()
        bench.queue.DispatchAsync { ran.withLock { $0.append("before") } }
        #expect(bench.queue.Cancel { isCancelled.set() } == kIOReturnSuccess)
        bench.queue.DispatchAsync { ran.withLock { $0.append("after") } }
        mayEnd.set()
        #expect(isCancelled.comes())
        bench.queue.DispatchSync { ran.withLock { $0.append("sync") } }
        #expect(ran.withLock { $0 } == ["sync"])
        #expect(bench.queue.Cancel {} == kIOReturnNotReady)
    }
}
