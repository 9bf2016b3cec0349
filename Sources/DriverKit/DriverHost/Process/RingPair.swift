import CDriverKit
import Platform
import SCSIControllerDriverKit
import Synchronization

/// A ring to the driver's process and one back, and what the kernel half keeps of them.
///
/// The first pair is for everybody: its thread in the driver and its receiver run where the system puts them, and small
/// bundles gather on the way. Batches go by the pair of the processor on which they were sent, whose thread in the driver
/// and whose receiver are bound to it: to wake a thread on another processor takes ten times as long (30 us against 3,
/// measured in a virtual machine), and batches that go round on two processors do not gather behind one another, where
/// one thread would do all the work.
///
/// Threads: any; see the locks.
final class RingPair: @unchecked Sendable {
    // SAFETY: the producer's side of `toDriver` and `interruptPosition` under `producerLock`; `bundlePosition` under it
    // and inside `submissionQueue`; the consumer's side of `toKernel` and `message` under `consumerLock`, which is taken
    // first where both are.
    let index: Int
    let toDriver: OpaquePointer
    let toKernel: OpaquePointer
    let producerLock = Lock()
    let consumerLock = Lock()
    let lingerLock = Lock()
    private let awakeLock = Lock()
    let message: UnsafeMutablePointer<nbdext_message>
    /// Where the last bundle and the last interrupt are in the ring; a new one waits until the driver has taken it.
    var bundlePosition: UInt32?
    var interruptPosition: UInt32?
    let hasBacklog = Atomic<Bool>(false)
    let owesInterrupt = Atomic<Bool>(false)
    /// Threads that fetch messages. The channel only says whether there are any, so that nothing of what a dead driver
    /// may have written there lasts.
    private let pollers = Atomic<Int>(0)
    let submissionQueue: IODispatchQueue
    private var submissionMask: UInt32 = 0

    init(index: Int, channel: UnsafeMutableRawPointer, context: DriverContext) {
        self.index = index
        toDriver = nbdext_channel_to_driver(channel, UInt32(index))
        toKernel = nbdext_channel_to_kernel(channel, UInt32(index))
        message = .allocate(capacity: 1)
        submissionQueue = IODispatchQueue(name: index == 0 ? "Submission" : "Submission \(index)", context: context)
    }

    deinit { message.deallocate() }

    /// Before the first `signalSubmissions`: what sends the tasks that wait.
    func setSender(_ send: @escaping @Sendable () -> Void) {
        submissionMask = submissionQueue.addSource("submission", send)
    }

    /// Tasks wait. They are sent by this thread, unless another one sends already.
    func signalSubmissions() { submissionQueue.signal(mask: submissionMask) }

    /// The channel is a new one: nothing was sent, either way. Under both locks; the driver is gone.
    func reset() {
        bundlePosition = nil
        interruptPosition = nil
        hasBacklog.store(false, ordering: .relaxed)
        owesInterrupt.store(false, ordering: .relaxed)
        showPollers()
    }

    /// The calling thread looks for messages from now on: the driver need not wake anybody.
    func addPoller() { if pollers.add(1, ordering: .sequentiallyConsistent).oldValue == 0 { showPollers() } }

    func removePoller() { if pollers.subtract(1, ordering: .sequentiallyConsistent).newValue == 0 { showPollers() } }

    /// Whoever makes the first or the last of them comes here afterwards, so that the last word is right.
    private func showPollers() {
        awakeLock.withLock {
            nbdext_ring_set_awake(toKernel, pollers.load(ordering: .sequentiallyConsistent) > 0 ? 1 : 0)
        }
    }
}
