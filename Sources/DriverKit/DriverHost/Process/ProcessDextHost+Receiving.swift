import CDriverKit
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Completions and register writes, from the driver.
extension ProcessDextHost {
    package func takeCalls(_ exchange: inout Exchange) -> Bool {
        let pair = channel.pair(of: &exchange)
        if !exchange.isTakingCalls {
            pair.beginPolling()
            exchange.isTakingCalls = true
        }
        return poll(pair)
    }

    package func finish(_ exchange: inout Exchange, mayGoOn: Bool) -> Bool {
        let pair = channel.pair(of: &exchange)
        exchange.isTakingCalls = false
        guard endPolling(pair) else { return false }
        // A driver that sends messages without end occupies the receiver's thread only.
        if !mayGoOn { pair.wakeReceiver() }
        return mayGoOn
    }

    /// Ends fetching on the calling thread, after a look for the driver's next message.
    /// - Returns: whether a message came at the last moment, so that the thread has to go on.
    func endPolling(_ pair: RingPair) -> Bool {
        if outstandingCount.load(ordering: .relaxed) > 0 { pair.linger(turns: lingerTurns) }
        pair.endPolling()
        return pair.hasMessages
    }

    /// The number of looks for the other side's next message by the first pair before a side sleeps. With one client,
    /// or one or two tasks, the looks take longer than a wake-up, some 80 us: each hand-over is waited for, and no
    /// other thread wants the processor. With many clients, messages come in clusters anyway, and long looks cost a
    /// quarter of the throughput (measured, on two cores).
    var lingerTurns: UInt32 {
        outstandingCount.load(ordering: .relaxed) <= 2 || kernel.clientLaneCount <= 1 ? 1900 : 20
    }

    /// Carries out a pair's messages, unless another thread does so now.
    /// - Returns: whether there were any.
    func poll(_ pair: RingPair) -> Bool {
        guard pair.hasMessages else {
            catchUp(pair)
            return false
        }
        guard pair.consumerLock.tryLock() else { return false }
        let count = takeMessages(of: pair)
        pair.consumerLock.unlock()
        catchUp(pair)
        return count > 0
    }

    /// Takes the messages that a silent driver has left in the rings. Waits for threads that take some of them now.
    func takeAll() {
        for pair in channel.pairs { pair.consumerLock.withLock { _ = takeMessages(of: pair) } }
    }

    /// Under the pair's `consumerLock`.
    /// - Returns: the number of messages taken, at most a ring of them, so that a driver that never stops sending does
    ///   not keep this thread for ever.
    private func takeMessages(of pair: RingPair) -> Int {
        var count = 0
        while count < 256 {
            let taken = nbdext_ring_take(pair.toKernel, pair.message)
            if taken == 0 { break }
            count += 1
            if taken > 0 { take(pair) } else { refuse("wrote to indices that are not its own") }
        }
        return count
    }

    /// Sends tasks and interrupts that found no room when they came up.
    private func catchUp(_ pair: RingPair) {
        if pair.hasBacklog.load(ordering: .relaxed), !pair.submissionQueue.OnQueue(),
            pair.hasBacklog.exchange(false, ordering: .acquiringAndReleasing)
        {
            send(by: pair)
        }
        if pair.owesInterrupt.load(ordering: .relaxed),
            pair.owesInterrupt.exchange(false, ordering: .acquiringAndReleasing)
        {
            interrupt(pair)
        }
    }

    /// Reports and ends a driver that does something that the library never does.
    private func refuse(_ what: String) {
        context.log.report(.slotMisuse, "the driver's process \(what)")
        endUnreachable()
    }

    /// Carries out a message, which was copied out of the shared memory first.
    private func take(_ pair: RingPair) {
        let message = pair.message
        history.note(message)
        switch nbdext_message_kind(message.pointee.kind) {
        case NBDEXT_REGISTER_WRITE:
            guard isConnected.load(ordering: .acquiring) else { return }
            function.writeRegister(Int(message.pointee.count), UInt32(truncatingIfNeeded: message.pointee.value))
        case NBDEXT_BUNDLED_COMPLETION:
            let count = Int(message.pointee.count)
            guard count >= 1, count <= kMaxBundledParallelTasks else {
                return context.log.report(.slotMisuse, "a completion message named \(count) slots")
            }
            outstandingCount.subtract(count, ordering: .relaxed)
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeBundledParallelTasks($0.baseAddress!.assumingMemoryBound(to: UInt16.self), count: count)
            }
        case NBDEXT_LEGACY_COMPLETION:
            outstandingCount.subtract(1, ordering: .relaxed)
            let slot = message.pointee.value
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeParallelTask(
                    $0.baseAddress!.assumingMemoryBound(to: SCSIUserParallelResponse.self),
                    slot: slot > 0 && slot <= UInt64(slots.taskCount) ? UInt16(slot - 1) : nil)
            }
        case NBDEXT_LEGACY_REPLY:
            reply.store(message.pointee.count, ordering: .relaxed)
            repliedSlot.store(Int(truncatingIfNeeded: message.pointee.value) &+ 1, ordering: .sequentiallyConsistent)
            if replyIsAwaitedAsleep.load(ordering: .sequentiallyConsistent) { nbdext_ring_wake(pair.toKernel) }
        default: break
        }
    }
}
