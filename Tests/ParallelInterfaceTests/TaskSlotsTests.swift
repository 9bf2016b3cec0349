import DriverHost
import Glibc
import Platform
import Synchronization
import TestTraits
import Testing

@testable import ParallelInterface

@Suite("The task slot pool", .blocks)
struct TaskSlotsTests {
    /// Claims a slot for each task, sends them all, and returns them.
    private func send(_ taskIndices: [UInt32], through pool: TaskSlots, deadline: UInt64 = 0) -> [SlotIndex] {
        var slots = room(for: pool.count)
        let claimed = taskIndices.withUnsafeBufferPointer { pool.claim(for: $0, into: &slots) }!
        #expect(slots[..<claimed].withUnsafeBufferPointer { pool.enqueue($0) { _ in deadline } })
        var numbers = [UInt16](repeating: 0, count: pool.count)
        let sent = pool.takeQueued(into: &numbers, limit: pool.count, route: .bundled)
        return numbers[..<sent].map { SlotIndex(rawValue: $0) }
    }

    private func room(for count: Int) -> [SlotIndex] { Array(repeating: SlotIndex(rawValue: 0), count: count) }

    private func complete(_ slots: [SlotIndex], in pool: TaskSlots, route: TaskRoute = .bundled) -> TaskSlots.Completion
    {
        pool.complete(slots.map(\.rawValue), count: slots.count, route: route)
    }

    @Test("a slot is completed once; foreign and repeated indices change nothing")
    func doubleCompletion() {
        let pool = TaskSlots(count: 4, taskCount: 16)
        let slots = send([10, 11], through: pool)
        #expect(slots.map { pool.taskIndex(of: $0) } == [10, 11])
        let first = slots[0].rawValue
        #expect(pool.complete([first, first, 3, 999], count: 4, route: .bundled).accepted == 1)
        var completed = room(for: 4)
        #expect(pool.takeCompleted(into: &completed, limit: 4) == 1)
        #expect(completed[0] == slots[0])
    }

    @Test("a slot that the driver keeps after its task was ended is no work")
    func pulse() {
        let pool = TaskSlots(count: 4, taskCount: 16)
        #expect(pool.pulse() == nil)
        _ = send([10, 11], through: pool)
        let tasks = pool.ownedByDriver()
        #expect(pool.pulse()?.busyCount == 2)
        #expect(pool.abandon(tasks[0]) { true } != nil)
        #expect(pool.pulse()?.busyCount == 1)
        #expect(pool.abandon(tasks[1]) { true } != nil)
        #expect(pool.pulse() == nil)
    }

    @Test("tasks wait in order, and a released slot goes to the first")
    func waitingOrder() {
        let pool = TaskSlots(count: 2, taskCount: 16)
        let slots = send([1, 2, 3, 4], through: pool)
        #expect(slots.count == 2)
        #expect(complete(slots, in: pool).accepted == 2)
        var claimed = room(for: 2)
        let count = slots.withUnsafeBufferPointer { pool.release($0, into: &claimed) }
        #expect(claimed[..<count].map { pool.taskIndex(of: $0) } == [3, 4])
    }

    @Test("an expired task leaves its slot with the driver, and a late completion is not delivered")
    func expiry() throws {
        let pool = TaskSlots(count: 2, taskCount: 16)
        let slots = send([1, 2], through: pool, deadline: 100)
        #expect(pool.nextExpired(now: 100) == nil)
        let first = try #require(pool.nextExpired(now: 101))
        #expect(first.slot == slots[0])
        pool.setRecovery(first, .aborted, deadline: 200)
        let second = try #require(pool.nextExpired(now: 101))
        #expect(pool.abandon(second) { false } == nil)
        #expect(pool.abandon(second) { true } == 2)
        #expect(complete([slots[1]], in: pool).accepted == 1)
        #expect(pool.taskIndex(of: slots[1]) == TaskSlots.noTask)
        pool.checkInvariants()
    }

    @Test("what is done for a task does not touch the next one in its slot")
    func reuse() throws {
        let pool = TaskSlots(count: 1, taskCount: 16)
        let slots = send([1], through: pool, deadline: 100)
        let old = try #require(pool.nextExpired(now: 101))
        #expect(complete(slots, in: pool).accepted == 1)
        var claimed = room(for: 1)
        #expect(slots.withUnsafeBufferPointer { pool.release($0, into: &claimed) } == 0)
        #expect(send([2], through: pool, deadline: 500) == slots)
        pool.setRecovery(old, .unitReset, deadline: 1)
        #expect(pool.nextExpired(now: 400) == nil)
        #expect(pool.abandon(old) { true } == nil)
        #expect(pool.whileWithDriver(old) { true } == nil)
        #expect(pool.nextExpired(now: 501)?.recovery == RecoveryStep.none)
    }

    @Test("a closed pool sends nothing and lets nothing wait")
    func closing() {
        let pool = TaskSlots(count: 1, taskCount: 16)
        var slot = SlotIndex(rawValue: 0)
        let taskIndices: [UInt32] = [1, 2]
        #expect(taskIndices.withUnsafeBufferPointer { pool.claim(for: $0, into: &slot) } == 1)
        let filled = [slot]
        #expect(filled.withUnsafeBufferPointer { pool.enqueue($0) { _ in 0 } })
        pool.close()
        var number: UInt16 = 0
        #expect(pool.takeQueued(into: &number, limit: 1, route: .bundled) == 0)
        #expect(pool.takeUnsent(into: &slot) == 1)
        #expect(!filled.withUnsafeBufferPointer { pool.enqueue($0) { _ in 0 } })
        #expect(taskIndices.withUnsafeBufferPointer { pool.claim(for: $0, into: &slot) } == nil)
        var waiting = [UInt32](repeating: 0, count: 4)
        #expect(pool.takeStarved(into: &waiting, limit: 4) == 1)
        #expect(waiting[0] == 2)
        pool.checkInvariants()
    }

    @Test("a slot comes back by the route on which it was sent, and by no other")
    func routes() {
        let pool = TaskSlots(count: 2, taskCount: 16)
        let slots = send([1], through: pool)
        let wrong = complete(slots, in: pool, route: .legacy)
        #expect(wrong.accepted == 0)
        #expect(wrong.refused?.state == .withDriver)
        #expect(complete(slots, in: pool).accepted == 1)
    }

    @Test("the order of two slots is known if their host sent them in one domain", arguments: [0, 1] as [UInt8])
    func domains(second: UInt8) {
        let pool = TaskSlots(count: 2, taskCount: 16)
        var slots = room(for: 2)
        #expect([1, 2].withUnsafeBufferPointer { pool.claim(for: $0, into: &slots) } == 2)
        #expect(slots.withUnsafeBufferPointer { pool.enqueue($0) { _ in 0 } })
        var taken: UInt16 = 0
        for (slot, number) in zip(slots, [0, second]) {
            let domain = SequenceDomain(rawValue: number)
            #expect(pool.takeQueued(into: &taken, limit: 1, route: .bundled, domain: domain) == 1)
            #expect(taken == slot.rawValue)
        }
        #expect(pool.isEarlier(slots[0], than: slots[1]) == (second == 0))
        #expect(!pool.isEarlier(slots[1], than: slots[0]))
    }

    @Test("tasks that wait are given up only when the driver has kept every slot")
    func starvation() {
        let pool = TaskSlots(count: 2, taskCount: 16)
        let slots = send([1, 2, 3], through: pool)
        var taskIndices = [UInt32](repeating: 0, count: 4)
        let owned = pool.ownedByDriver()
        #expect(owned.map(\.slot) == slots)
        #expect(pool.abandon(owned[0]) { true } == 1)
        #expect(pool.takeStarved(into: &taskIndices, limit: 4) == 0)
        #expect(pool.abandon(owned[1]) { true } == 2)
        #expect(pool.takeStarved(into: &taskIndices, limit: 4) == 1)
        #expect(taskIndices[0] == 3)
        pool.checkInvariants()
    }

    @Test("slots that wait to be sent keep their order when one of them is taken out")
    func takenOut() {
        let pool = TaskSlots(count: 4, taskCount: 16)
        var slots = room(for: 4)
        #expect([1, 2, 3].withUnsafeBufferPointer { pool.claim(for: $0, into: &slots) } == 3)
        #expect(slots[..<3].withUnsafeBufferPointer { pool.enqueue($0) { $0 == 2 ? 100 : 0 } })
        var expired = room(for: 4)
        let taken = pool.takeExpiredUnsent(now: 101, into: &expired)
        #expect(taken.count == 1 && taken.hasOthers && expired[0] == slots[1])
        var numbers = [UInt16](repeating: 0, count: 4)
        #expect(pool.takeQueued(into: &numbers, limit: 4, route: .bundled) == 2)
        #expect(numbers[..<2] == [slots[0].rawValue, slots[2].rawValue])
        pool.checkInvariants()
    }

    @Test("a slot that is passed back while recovery looks at its task waits until it has looked")
    func hold() throws {
        let pool = TaskSlots(count: 1, taskCount: 16)
        let slots = send([1], through: pool)
        let task = try #require(pool.sent(taskIndex: 1))
        let (started, completed) = (OneShotEvent(), OneShotEvent())
        let looked = Atomic<Bool>(false)
        let number = slots[0].rawValue
        var thread: OSThread? = try OSThread(name: "driver") {
            started.wait()
            #expect(pool.complete([number], count: 1, route: .bundled).accepted == 1)
            let hasLooked = looked.load(ordering: .relaxed)
            #expect(hasLooked)
            completed.set()
        }
        let isStillThere = pool.whileWithDriver(task) {
            started.set()
            // The other thread gets a chance to be wrong.
            for _ in 0..<1000 where !completed.isSet { sched_yield() }
            let isThere = pool.isWithDriver(slots[0])
            looked.store(true, ordering: .relaxed)
            return isThere
        }
        #expect(isStillThere == true)
        thread.take()!.join()
        #expect(pool.abandon(task) { true } == nil)
    }
}
