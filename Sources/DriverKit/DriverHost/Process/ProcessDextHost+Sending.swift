import CDriverKit
import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Tasks and interrupts, to the driver.
extension ProcessDextHost {
    package func send(_ exchange: inout Exchange) {
        let pair = channel.pair(of: &exchange)
        if exchange.isTakingCalls {
            // A call of the legacy route sleeps until the driver has answered, and must be woken.
            pair.endPolling()
            exchange.isTakingCalls = false
        }
        if !exchange.mayWait, let thread = try? OSThread(name: "send", { [self] in send(by: pair) }) {
            thread.detach()
        } else {
            send(by: pair)
        }
    }

    func send(by pair: RingPair) {
        (sendsOnlyBundles ? pair : channel.pairs[0]).signalSubmissions()
    }

    /// Whether no task goes by the legacy route any more, which the first pair serves.
    private var sendsOnlyBundles: Bool {
        isBundled.load(ordering: .relaxed) && earlyTasksLeft.load(ordering: .relaxed) == 0
    }

    /// Sends what waits in one message. While the driver has not taken the last message, tasks gather: this backlog
    /// goes as one bundle.
    func sendBundled(_ pair: RingPair) {
        guard isRunning.load(ordering: .acquiring) else { return }
        while pair.index == 0, earlyTasksLeft.load(ordering: .relaxed) > 0 {
            if !sendOne() { return }
            earlyTasksLeft.subtract(1, ordering: .relaxed)
        }
        while true {
            if let position = pair.bundlePosition, nbdext_ring_is_taken(pair.toDriver, position) == 0 {
                pair.hasBacklog.store(true, ordering: .sequentiallyConsistent)
                // The driver may have taken it in the meantime, and would not cause another look here.
                if nbdext_ring_is_taken(pair.toDriver, position) == 0 { return }
                pair.hasBacklog.store(false, ordering: .relaxed)
            }
            let wasSent = withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) {
                indices in
                pair.producerLock.withLock { sendBundle(pair, indices.baseAddress!) }
            }
            if !wasSent { return }
        }
    }

    /// Under `producerLock`, so that nothing is sent to a driver that has ended.
    private func sendBundle(_ pair: RingPair, _ indices: UnsafeMutablePointer<UInt16>) -> Bool {
        // The driver may have been replaced since the pair was chosen.
        guard isRunning.load(ordering: .relaxed), pair.index == 0 || sendsOnlyBundles,
            let message = nbdext_ring_begin(pair.toDriver)
        else { return false }
        // Not into the message itself: the driver could write there while the indices are still used.
        let count = kernel.takeSubmissions(
            indices, limit: kMaxBundledParallelTasks, route: .bundled, domain: pair.domain)
        if count == 0 { return false }
        message.pointee.kind = NBDEXT_BUNDLED_TASKS.rawValue
        message.pointee.count = UInt32(count)
        withUnsafeMutableBytes(of: &message.pointee.body) {
            $0.baseAddress!.copyMemory(from: indices, byteCount: count * 2)
        }
        hosted.noteCalls(on: pair.submissionQueue, taskCount: count, sender: pair.index)
        outstandingCount.add(count, ordering: .relaxed)
        if pair.index == 0 { nbdext_ring_advise(pair.toDriver, lingerTurns) }
        pair.bundlePosition = nbdext_ring_position(pair.toDriver)
        history.note(message)
        _ = nbdext_ring_publish(pair.toDriver)
        return true
    }

    /// Sends one task in one message, by the first pair, and waits for the answer to the call.
    /// - Returns: whether there was a task.
    func sendOne() -> Bool {
        guard isRunning.load(ordering: .acquiring) else { return false }
        let pair = channel.pairs[0]
        var slot: UInt16 = 0
        repliedSlot.store(0, ordering: .relaxed)
        let receiver = pair.producerLock.withLock { () -> DriverInstance? in
            guard isRunning.load(ordering: .relaxed), let instance, let message = nbdext_ring_begin(pair.toDriver),
                kernel.takeSubmissions(&slot, limit: 1, route: .legacy, domain: pair.domain) == 1
            else { return nil }
            message.pointee.kind = NBDEXT_LEGACY_TASK.rawValue
            message.pointee.value = UInt64(slot)
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(
                    from: slots.commands + Int(slot), byteCount: MemoryLayout<SCSIUserParallelTask>.size)
            }
            hosted.noteCalls(on: pair.submissionQueue, taskCount: 1, sender: pair.index)
            outstandingCount.add(1, ordering: .relaxed)
            nbdext_ring_advise(pair.toDriver, lingerTurns)
            history.note(message)
            _ = nbdext_ring_publish(pair.toDriver)
            return instance
        }
        guard let receiver else { return false }
        awaitReply(slot, of: receiver, pair)
        return true
    }

    private func awaitReply(_ slot: UInt16, of instance: DriverInstance, _ pair: RingPair) {
        var spins = 0
        let limit = monotonicMilliseconds() + UInt64(callMilliseconds)
        pair.beginPolling()
        while repliedSlot.load(ordering: .acquiring) != Int(slot) + 1 {
            if poll(pair) { continue }
            spins += 1
            if spins < 200 {
                nbdext_pause()
            } else {
                if !instance.isAlive { break }
                if monotonicMilliseconds() > limit {
                    giveUpWaiting(for: "UserProcessParallelTask", of: instance)
                    break
                }
                let wakeupCount = nbdext_ring_wakeup_count(pair.toKernel)
                replyIsAwaitedAsleep.store(true, ordering: .sequentiallyConsistent)
                if !endPolling(pair), repliedSlot.load(ordering: .sequentiallyConsistent) != Int(slot) + 1 {
                    nbdext_ring_sleep(pair.toKernel, wakeupCount, 10)
                }
                replyIsAwaitedAsleep.store(false, ordering: .relaxed)
                pair.beginPolling()
            }
        }
        _ = endPolling(pair)
        guard repliedSlot.load(ordering: .acquiring) == Int(slot) + 1 else { return }
        legacyTaskReturned(response: reply.load(ordering: .relaxed), slot: slot, to: kernel)
    }

    /// Passes the card's interrupt on, by the pair for which this thread fetches messages.
    func interrupt() { interrupt(channel.pairs[Int(nbdext_current_pair())]) }

    /// Sends an interrupt, unless the driver has not taken the last one yet: one is as good as two.
    func interrupt(_ pair: RingPair) {
        // The card's writes come before the message; the driver looks for them after it has taken the message.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        pair.producerLock.withLock {
            if let position = pair.interruptPosition, nbdext_ring_is_taken(pair.toDriver, position) == 0 { return }
            guard let message = nbdext_ring_begin(pair.toDriver) else {
                return pair.owesInterrupt.store(true, ordering: .releasing)
            }
            message.pointee.kind = NBDEXT_INTERRUPT.rawValue
            pair.interruptPosition = nbdext_ring_position(pair.toDriver)
            _ = nbdext_ring_publish(pair.toDriver)
        }
    }
}
