/// What the kernel half looks at before a driver sees a task. A task that a gate refuses fails without a call.
package enum TaskGate: String, Sendable {
    /// The task is no larger than maxTransferSize of UserGetDMASpecification.
    case maxTransferSize
    /// A DEXT gets the address of one segment (the field fBufferIOVMAddr), so a task's memory has to be one.
    case singleSegment

    /// The gate that refuses a task, or nil when the driver gets it. A KEXT takes any number of segments.
    ///
    /// - Parameter segmentCount: see `KernelOptions.segmentCount`.
    package static func refusing(
        byteCount: UInt64, segmentCount: UInt64, maxTransferSize: UInt64, isKext: Bool
    ) -> TaskGate? {
        if byteCount > maxTransferSize { return .maxTransferSize }
        if segmentCount > 1 && !isKext { return .singleSegment }
        return nil
    }
}

extension KernelOptions {
    /// The segments that memory has for the device. Without a mapper no two pages are neighbours.
    ///
    /// - Parameters:
    ///   - address: where the memory begins.
    ///   - byteCount: not 0.
    package func segmentCount(address: UInt64, byteCount: UInt64) -> UInt64 {
        if hasMapper { return 1 }
        return (address + byteCount - 1) / pageByteCount - address / pageByteCount + 1
    }
}
