import CDriverChannel
import Diagnostics
import Glibc
import Platform

/// The kernel half as a driver's process sees it: calls over a control link, tasks over rings in shared memory.
///
/// Threads: any.
final class RemoteKernel: DriverKernelPort, @unchecked Sendable {
    // SAFETY: `link` and `slots` are set before the first task; the ring's producer side is used under `lock`.
    private let ring: OpaquePointer
    private let arena: UnsafeMutableRawPointer
    private let arenaByteCount: Int
    private(set) var link: ControlLink!
    var commands: UnsafeMutablePointer<SCSIUserParallelTask>?
    private let lock = Lock()
    /// Waits of driver code for an answer of the kernel.
    let context: DriverContext

    init(
        channel: UnsafeMutableRawPointer, arena: UnsafeMutableRawPointer, arenaByteCount: Int,
        context: DriverContext
    ) {
        ring = nbdext_channel_to_kernel(channel)
        self.arena = arena
        self.arenaByteCount = arenaByteCount
        self.context = context
    }

    func attach(_ link: ControlLink) { self.link = link }

    /// Sends a message; waits while the ring is full.
    func send(_ fill: (UnsafeMutablePointer<nbdext_message>) -> Void) {
        lock.withLock {
            var message = nbdext_ring_begin(ring)
            while message == nil {
                // The kernel is behind; it has been woken for what is there.
                usleep(50)
                message = nbdext_ring_begin(ring)
            }
            fill(message!)
            _ = nbdext_ring_publish(ring)
        }
    }

    func writeRegister(_ offset: Int, _ value: UInt32) {
        send { message in
            message.pointee.kind = NBDEXT_REGISTER_WRITE.rawValue
            message.pointee.count = UInt32(truncatingIfNeeded: offset)
            message.pointee.value = UInt64(value)
        }
    }

    // MARK: Tasks

    func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int) {
        send { message in
            message.pointee.kind = NBDEXT_BUNDLED_COMPLETION.rawValue
            message.pointee.count = UInt32(count)
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(from: indices, byteCount: count * 2)
            }
        }
    }

    /// One message, and a wait until the kernel has taken it: a completion of the legacy route is a call.
    func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>, slot: UInt16?) {
        var position: UInt32 = 0
        send { message in
            message.pointee.kind = NBDEXT_SINGLE_COMPLETION.rawValue
            message.pointee.value = slot.map { UInt64($0) + 1 } ?? 0
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(from: response, byteCount: MemoryLayout<SCSIUserParallelResponse>.size)
            }
            position = nbdext_ring_position(ring)
        }
        nbdext_ring_wait_taken(ring, position)
    }

    func dataBuffer(targetID: SCSIDeviceIdentifier, taskID: UInt64) -> IOBufferMemoryDescriptor? {
        guard let answer = link.ask(.dataBuffer, ControlMessage([targetID, taskID])),
            answer.status == kIOReturnSuccess, answer[0] <= UInt64(arenaByteCount),
            answer[1] <= UInt64(arenaByteCount) - answer[0]
        else { return nil }
        return IOBufferMemoryDescriptor(
            borrowing: UnsafeMutableRawBufferPointer(start: arena + Int(answer[0]), count: Int(answer[1])))
    }

    /// A driver's process has its slots mapped; only a KEXT asks for them this way.
    func commandSlot(_ slot: UInt16) -> UnsafePointer<SCSIUserParallelTask> { UnsafePointer(commands! + Int(slot)) }

    // MARK: Control

    func reportHBAConstraints(_ constraints: OSDictionary) -> kern_return_t {
        call(.reportConstraints, ControlMessage(payload: PropertyCoder.encode(constraints)))
    }

    /// The kernel calls the driver back before this returns, so the wait is one that others may depend on.
    func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t {
        let done = Event()
        let answer = AnswerBox()
        let message = ControlMessage([targetID], payload: PropertyCoder.encode(properties))
        guard
            let thread = try? OSThread(
                name: "create",
                { [link] in
                    answer.set(link?.ask(.createTarget, message)?.status ?? kIOReturnAborted)
                    done.set()
                })
        else { return kIOReturnNoResources }
        thread.detach()
        let outcome = context.waits.wait(
            for: done, of: .kernelCall, purpose: "the kernel's answer to UserCreateTargetForID(\(targetID))",
            createsTarget: true)
        return outcome == .done ? answer.get() : kIOReturnAborted
    }

    func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        call(.destroyTarget, ControlMessage([targetID]))
    }

    func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool {
        link.ask(.isTargetPresent, ControlMessage([targetID]))?[0] == 1
    }

    private func call(_ call: ControlCall, _ message: ControlMessage) -> kern_return_t {
        link.ask(call, message)?.status ?? kIOReturnAborted
    }
}

/// A status that one thread sets and another reads.
private final class AnswerBox: @unchecked Sendable {
    // SAFETY: only under `lock`.
    private let lock = Lock()
    private var status = kIOReturnAborted

    func set(_ status: kern_return_t) { lock.withLock { self.status = status } }
    func get() -> kern_return_t { lock.withLock { status } }
}
