import CDriverChannel
import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Tasks and interrupts, to the driver.
extension ProcessDextHost {
    /// One message for what waits. While the driver has not taken the last one, tasks gather: that is the backlog that
    /// goes as one bundle.
    func sendBundled() {
        guard isRunning.load(ordering: .acquiring) else { return }
        while earlyTasksLeft > 0 {
            if !sendOne() { return }
            earlyTasksLeft -= 1
        }
        while true {
            if let bundlePosition, nbdext_ring_is_taken(toDriver, bundlePosition) == 0 {
                hasBacklog.store(true, ordering: .sequentiallyConsistent)
                // It may have been taken in the meantime, and nobody would notice.
                if nbdext_ring_is_taken(toDriver, bundlePosition) == 0 { return }
                hasBacklog.store(false, ordering: .relaxed)
            }
            let wasSent = withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) {
                indices in
                producerLock.withLock { sendBundle(indices.baseAddress!) }
            }
            if !wasSent { return }
        }
    }

    /// Under `producerLock`, so that nothing is sent to a driver that has ended.
    private func sendBundle(_ indices: UnsafeMutablePointer<UInt16>) -> Bool {
        guard isRunning.load(ordering: .relaxed), let message = nbdext_ring_begin(toDriver) else { return false }
        // Not into the message itself: the driver could write there while the indices are still used.
        let count = kernel.takeSubmissions(indices, limit: kMaxBundledParallelTasks, route: .bundled)
        if count == 0 { return false }
        message.pointee.kind = NBDEXT_BUNDLED_TASKS.rawValue
        message.pointee.count = UInt32(count)
        withUnsafeMutableBytes(of: &message.pointee.body) {
            $0.baseAddress!.copyMemory(from: indices, byteCount: count * 2)
        }
        bundles.note(taskCount: count)
        outstandingCount.add(count, ordering: .relaxed)
        nbdext_ring_advise(toDriver, lingerTurns)
        bundlePosition = nbdext_ring_position(toDriver)
        history.note(message)
        _ = nbdext_ring_publish(toDriver)
        return true
    }

    /// One message for one task, and a wait for the driver's answer to the call.
    /// - Returns: whether there was a task.
    func sendOne() -> Bool {
        guard isRunning.load(ordering: .acquiring) else { return false }
        var slot: UInt16 = 0
        repliedSlot.store(0, ordering: .relaxed)
        let receiver = producerLock.withLock { () -> DriverInstance? in
            guard isRunning.load(ordering: .relaxed), let instance, let message = nbdext_ring_begin(toDriver),
                kernel.takeSubmissions(&slot, limit: 1, route: .single) == 1
            else { return nil }
            message.pointee.kind = NBDEXT_SINGLE_TASK.rawValue
            message.pointee.value = UInt64(slot)
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(
                    from: slots.commands + Int(slot), byteCount: MemoryLayout<SCSIUserParallelTask>.size)
            }
            bundles.note(taskCount: 1)
            outstandingCount.add(1, ordering: .relaxed)
            nbdext_ring_advise(toDriver, lingerTurns)
            history.note(message)
            _ = nbdext_ring_publish(toDriver)
            return instance
        }
        guard let receiver else { return false }
        awaitReply(slot, of: receiver)
        return true
    }

    private func awaitReply(_ slot: UInt16, of instance: DriverInstance) {
        var spins = 0
        beginPolling()
        while repliedSlot.load(ordering: .acquiring) != Int(slot) + 1 {
            if poll() { continue }
            spins += 1
            if spins < 200 {
                nbdext_pause()
            } else {
                if !instance.isAlive { break }
                let bell = nbdext_ring_bell(toKernel)
                replyIsAwaitedAsleep.store(true, ordering: .sequentiallyConsistent)
                if !endPolling(), repliedSlot.load(ordering: .sequentiallyConsistent) != Int(slot) + 1 {
                    nbdext_ring_sleep(toKernel, bell, 10)
                }
                replyIsAwaitedAsleep.store(false, ordering: .relaxed)
                beginPolling()
            }
        }
        _ = endPolling()
        guard repliedSlot.load(ordering: .acquiring) == Int(slot) + 1 else { return }
        let reply = reply.load(ordering: .relaxed)
        singleTaskReturned(
            DriverCalls.SingleTaskReply(
                response: UInt32(truncatingIfNeeded: reply), retainsAction: reply >> 32 != 0),
            slot: slot, to: kernel)
    }

    /// The card asserts its interrupt line. One message that was not taken yet is as good as two.
    func interrupt() {
        // What the interrupt is about was written before; the driver looks for it after it took the message.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        producerLock.withLock {
            if let interruptPosition, nbdext_ring_is_taken(toDriver, interruptPosition) == 0 { return }
            guard let message = nbdext_ring_begin(toDriver) else {
                return owesInterrupt.store(true, ordering: .releasing)
            }
            message.pointee.kind = NBDEXT_INTERRUPT.rawValue
            interruptPosition = nbdext_ring_position(toDriver)
            _ = nbdext_ring_publish(toDriver)
        }
    }
}
