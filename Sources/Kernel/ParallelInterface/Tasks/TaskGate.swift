/// The kernel half's checks before a driver sees a task. A task that a gate refuses fails without a call.
package enum TaskGate: String, Sendable {
    /// A task must not be larger than maxTransferSize of UserGetDMASpecification.
    case maxTransferSize
    /// A task's memory must be one segment, since a DEXT gets one address (the field fBufferIOVMAddr).
    case singleSegment

    /// The gate that refuses a task; nil if the driver gets it. A KEXT takes any number of segments.
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
    /// The number of segments of memory, as the device sees it. Without a mapper no two pages are neighbours.
    ///
    /// - Parameters:
    ///   - address: the memory's first byte.
    ///   - byteCount: not 0.
    package func segmentCount(address: UInt64, byteCount: UInt64) -> UInt64 {
        assert(byteCount > 0, "memory of 0 bytes has no segments")
        if hasMapper { return 1 }
        return (address + byteCount - 1) / pageByteCount - address / pageByteCount + 1
    }
}
