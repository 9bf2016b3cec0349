import CDriverKit
import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Sends tasks to a driver's process: bundles by any pair of rings, and single tasks by the first.
///
/// A bundle is one message. A task of the legacy route is a blocking round trip.
///
/// Threads: any; not after the kernel half is gone.
final class TaskSender: @unchecked Sendable {
    // SAFETY: nothing changes but atomics. The kernel half stops the host, and with it what is sent, before it goes.
    private unowned(unsafe) let kernel: any KernelHalf
    private let hosted: HostedDriver
    private let channel: DriverChannel
    private let slots: SharedSlots
    private let reader: MessageReader
    private let calls: ControlCalls
    /// Whether the driver has taken the slots.
    private let isBundled: Atomic<Bool>
    /// The tasks that still go by the legacy route although the driver has taken the slots.
    private let earlyTasksLeft = Atomic<Int>(TaskSender.earlyTaskCount)
    private static let earlyTaskCount = 2
    /// The looks for a reply before the thread begins to sleep between them.
    private static let awakeTurns = 200

    /// - Parameter isBundled: whether the driver has taken the slots.
    init(
        hosted: HostedDriver, channel: DriverChannel, slots: SharedSlots, reader: MessageReader, calls: ControlCalls,
        kernel: any KernelHalf, isBundled: Bool
    ) {
        self.kernel = kernel
        self.hosted = hosted
        self.channel = channel
        self.slots = slots
        self.reader = reader
        self.calls = calls
        self.isBundled = Atomic(isBundled)
        for pair in channel.pairs {
            pair.setSender { [unowned self, unowned pair] in
                if self.isBundled.load(ordering: .relaxed) {
                    sendBundled(pair)
                } else if pair.index == 0 {
                    while sendOne() {}
                }
            }
        }
    }

    /// Begins anew with the next process, before anything is sent to it.
    /// - Parameter isBundled: whether it has taken the slots.
    func begin(isBundled: Bool) {
        assert(!channel.isRunning, "the route changes while tasks are on it")
        self.isBundled.store(isBundled, ordering: .relaxed)
        earlyTasksLeft.store(Self.earlyTaskCount, ordering: .relaxed)
    }

    /// As in `DriverHost`.
    func send(_ exchange: inout Exchange) {
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

    /// Sends what waits, on the calling thread unless another one is sending.
    func sendAll() { send(by: channel.pairs[0]) }

    private func send(by pair: RingPair) {
        (sendsOnlyBundles ? pair : channel.pairs[0]).signalSubmissions()
    }

    /// Whether no task goes by the legacy route any more, which the first pair serves.
    private var sendsOnlyBundles: Bool {
        isBundled.load(ordering: .relaxed) && earlyTasksLeft.load(ordering: .relaxed) == 0
    }

    // MARK: Bundles

    /// Sends what waits in one message. While the driver has not taken the last message, tasks gather: this backlog
    /// goes as one bundle.
    private func sendBundled(_ pair: RingPair) {
        guard channel.isRunning else { return }
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
        guard channel.isRunning, pair.index == 0 || sendsOnlyBundles, let message = nbdext_ring_begin(pair.toDriver)
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
        channel.outstandingCount.add(count, ordering: .relaxed)
        if pair.index == 0 { nbdext_ring_advise(pair.toDriver, reader.lingerTurns) }
        pair.bundlePosition = nbdext_ring_position(pair.toDriver)
        channel.history.note(message)
        _ = nbdext_ring_publish(pair.toDriver)
        return true
    }

    // MARK: One by one

    /// Sends one task in one message, by the first pair, and waits for the answer to the call.
    /// - Returns: whether there was a task.
    private func sendOne() -> Bool {
        guard channel.isRunning else { return false }
        let pair = channel.pairs[0]
        var slot: UInt16 = 0
        reader.reply.clear()
        let receiver = pair.producerLock.withLock { () -> DriverInstance? in
            guard channel.isRunning, let instance = calls.life.instance, let message = nbdext_ring_begin(pair.toDriver),
                kernel.takeSubmissions(&slot, limit: 1, route: .legacy, domain: pair.domain) == 1
            else { return nil }
            message.pointee.kind = NBDEXT_LEGACY_TASK.rawValue
            message.pointee.value = UInt64(slot)
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(
                    from: slots.commands + Int(slot), byteCount: MemoryLayout<SCSIUserParallelTask>.size)
            }
            hosted.noteCalls(on: pair.submissionQueue, taskCount: 1, sender: pair.index)
            channel.outstandingCount.add(1, ordering: .relaxed)
            nbdext_ring_advise(pair.toDriver, reader.lingerTurns)
            channel.history.note(message)
            _ = nbdext_ring_publish(pair.toDriver)
            return instance
        }
        guard let receiver else { return false }
        awaitReply(slot, of: receiver, pair)
        return true
    }

    private func awaitReply(_ slot: UInt16, of instance: DriverInstance, _ pair: RingPair) {
        var spins = 0
        let limit = monotonicMilliseconds() + UInt64(calls.limitMilliseconds)
        pair.beginPolling()
        while !reader.reply.hasArrived(for: slot) {
            if reader.poll(pair) { continue }
            spins += 1
            if spins < Self.awakeTurns {
                nbdext_pause()
            } else {
                if !instance.isAlive { break }
                if monotonicMilliseconds() > limit {
                    calls.giveUpWaiting(for: "UserProcessParallelTask", of: instance)
                    break
                }
                let wakeupCount = nbdext_ring_wakeup_count(pair.toKernel)
                reader.reply.whileAsleep {
                    if !reader.endPolling(pair), !reader.reply.hasArrived(for: slot) {
                        nbdext_ring_sleep(pair.toKernel, wakeupCount, 10)
                    }
                }
                pair.beginPolling()
            }
        }
        _ = reader.endPolling(pair)
        guard let response = reader.reply.response(for: slot) else { return }
        kernel.legacyTaskReturned(response: response, slot: slot)
    }
}
