import CDriverChannel
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Completions and register writes, from the driver.
extension ProcessDextHost {
    package func beginPolling() { if pollers.add(1, ordering: .sequentiallyConsistent).oldValue == 0 { showPollers() } }

    package func endPolling() -> Bool {
        // One thread at a time waits for what the driver is about to say.
        if outstandingCount.load(ordering: .relaxed) > 0, lingerLock.tryLock() {
            _ = nbdext_ring_linger(toKernel, lingerTurns)
            lingerLock.unlock()
        }
        if pollers.subtract(1, ordering: .sequentiallyConsistent).newValue == 0 { showPollers() }
        return nbdext_ring_has_messages(toKernel) != 0
    }

    /// How long a side looks for the other's next message before it sleeps. With one client, or a task or two, it looks
    /// for longer than a wake-up takes, some 80 us: each hand-over is waited for, and nobody else wants the processor.
    /// With many, messages come in clusters anyway, and long looks cost a quarter of the throughput (measured, on two
    /// cores).
    var lingerTurns: UInt32 {
        outstandingCount.load(ordering: .relaxed) <= 2 || kernel.clientLaneCount <= 1 ? 1900 : 20
    }

    /// Whoever makes the first or the last of them comes here afterwards, so that the last word is right.
    private func showPollers() {
        awakeLock.withLock {
            nbdext_ring_set_awake(toKernel, pollers.load(ordering: .sequentiallyConsistent) > 0 ? 1 : 0)
        }
    }

    package func sleep(milliseconds: Int) {
        nbdext_ring_sleep(toKernel, nbdext_ring_bell(toKernel), Int32(milliseconds))
    }

    package func wakeReceiver() { nbdext_ring_ring(toKernel) }

    package func poll() -> Bool {
        guard nbdext_ring_has_messages(toKernel) != 0 else {
            catchUp()
            return false
        }
        guard consumerLock.tryLock() else { return false }
        var count = 0
        // A driver that never stops sending does not keep this thread for ever.
        while count < 256 {
            let taken = nbdext_ring_take(toKernel, message)
            if taken == 0 { break }
            count += 1
            if taken > 0 { take() } else { refuse("wrote to indices that are not its own") }
        }
        consumerLock.unlock()
        catchUp()
        return count > 0
    }

    /// Sends what could not be sent when it came up.
    private func catchUp() {
        if hasBacklog.load(ordering: .relaxed), !submissionQueue.OnQueue(),
            hasBacklog.exchange(false, ordering: .acquiringAndReleasing)
        {
            send()
        }
        if owesInterrupt.load(ordering: .relaxed), owesInterrupt.exchange(false, ordering: .acquiringAndReleasing) {
            interrupt()
        }
    }

    /// Ends a driver that does what no library does for it.
    private func refuse(_ what: String) {
        context.log.report(.slotMisuse, "the driver's process \(what)")
        endUnreachable()
    }

    /// Does what a message says. Whatever it says was copied out of the shared memory first.
    private func take() {
        history.note(message)
        switch nbdext_message_kind(message.pointee.kind) {
        case NBDEXT_REGISTER_WRITE:
            guard isConnected else { return }
            function.writeRegister(Int(message.pointee.count), UInt32(truncatingIfNeeded: message.pointee.value))
        case NBDEXT_BUNDLED_COMPLETION:
            isProductive.store(true, ordering: .relaxed)
            let count = Int(message.pointee.count)
            guard count >= 1, count <= kMaxBundledParallelTasks else {
                return context.log.report(.slotMisuse, "a completion message named \(count) slots")
            }
            outstandingCount.subtract(count, ordering: .relaxed)
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeBundledParallelTasks($0.baseAddress!.assumingMemoryBound(to: UInt16.self), count: count)
            }
        case NBDEXT_SINGLE_COMPLETION:
            isProductive.store(true, ordering: .relaxed)
            outstandingCount.subtract(1, ordering: .relaxed)
            let slot = message.pointee.value
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeParallelTask(
                    $0.baseAddress!.assumingMemoryBound(to: SCSIUserParallelResponse.self),
                    slot: slot > 0 && slot <= UInt64(slots.taskCount) ? UInt16(slot - 1) : nil)
            }
        case NBDEXT_SINGLE_REPLY:
            reply.store(
                UInt64(message.pointee.count) | (message.pointee.body.0 != 0 ? 1 << 32 : 0), ordering: .relaxed)
            repliedSlot.store(Int(truncatingIfNeeded: message.pointee.value) &+ 1, ordering: .sequentiallyConsistent)
            if replyIsAwaitedAsleep.load(ordering: .sequentiallyConsistent) { nbdext_ring_ring(toKernel) }
        default: break
        }
    }
}
