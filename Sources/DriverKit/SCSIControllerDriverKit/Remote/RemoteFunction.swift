import HardwareBus
import Platform

/// The PCI function as a driver's process sees it. Registers are read over the control link, and written by messages
/// that keep their order within a pair of rings. The DART is the kernel's.
final class RemoteFunction: PCIFunction, @unchecked Sendable {
    // SAFETY: `kernel` never changes.
    private let kernel: RemoteKernel

    init(kernel: RemoteKernel) {
        self.kernel = kernel
        super.init(dart: DART(windowCount: 1, reservedCount: 1))
    }

    override func readRegister(_ offset: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: kernel.link.ask(.readRegister, ControlMessage([UInt64(offset)]))?[0] ?? .max)
    }

    override func writeRegister(_ offset: Int, _ value: UInt32) { kernel.writeRegister(offset, value) }

    override var registerByteCount: Int {
        Int(truncatingIfNeeded: kernel.link.ask(.registerByteCount)?[0] ?? 0)
    }

    override func readConfiguration(_ offset: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: kernel.link.ask(.readConfiguration, ControlMessage([UInt64(offset)]))?[0] ?? .max)
    }

    override func writeConfiguration(_ offset: Int, _ value: UInt32, mask: UInt32) {
        _ = kernel.link.ask(.writeConfiguration, ControlMessage([UInt64(offset), UInt64(value), UInt64(mask)]))
    }

    override func claimDMAWindow() -> Int? {
        guard let answer = kernel.link.ask(.claimWindow), answer.status == kIOReturnSuccess else { return nil }
        return Int(answer[0])
    }

    override func mapDMA(
        window: Int, memory: UnsafeMutableRawBufferPointer, owner: AnyObject, sharedID: UInt64
    ) -> DART.BusAddress? {
        guard let answer = kernel.link.ask(.mapMemory, ControlMessage([UInt64(window), sharedID])),
            answer.status == kIOReturnSuccess
        else { return nil }
        return answer[0]
    }

    override func unmapDMA(window: Int) { _ = kernel.link.ask(.unmapMemory, ControlMessage([UInt64(window)])) }
}
