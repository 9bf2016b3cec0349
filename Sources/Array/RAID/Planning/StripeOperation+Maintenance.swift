import MDFormat

/// From a request of maintenance to its operation, and back to its outcome.
extension StripeOperation {
    /// The operation that does what a request asks for.
    init(_ request: MaintenanceRequest, _ geometry: ArrayGeometry) {
        stripe = request.byteOffset / geometry.chunkByteCount
        chunkOffset = UInt32(geometry.chunkOffset(of: request.byteOffset))
        switch request.kind {
        case .rebuild: kind = .rebuild
        case .skipIfHole: kind = .skipIfHole
        case .skipIfClean: kind = .skipIfClean
        case .check: kind = .check
        case .repair: kind = .repair
        }
        if request.kind == .skipIfHole || request.kind == .skipIfClean {
            stripeCount = request.byteCount / geometry.chunkByteCount
            chunkOffsetEnd = UInt32(geometry.chunkByteCount)
        } else {
            precondition(
                request.byteCount == geometry.unitByteCount && request.byteOffset % request.byteCount == 0,
                "maintenance works on whole units")
            chunkOffsetEnd = chunkOffset + UInt32(request.byteCount)
        }
    }

    /// The outcome of a request whose operation has ended.
    func maintenanceOutcome(_ geometry: ArrayGeometry) -> MaintenanceOutcome {
        assert(kind.isMaintenance, "a client's operation has no outcome of maintenance")
        let range = memberRange(geometry)
        let requested: MaintenanceRequest.Kind =
            switch kind {
            case .rebuild: .rebuild
            case .skipIfHole: .skipIfHole
            case .skipIfClean: .skipIfClean
            case .repair: .repair
            default: .check
            }
        let result: MaintenanceOutcome.Result =
            switch status {
            case .done: kind.isWithoutReads && wrongBlocks != 0 ? .hasData : .done
            case .noSpace: .noSpace
            case .refused, .failed: .failed
            }
        let request = MaintenanceRequest(
            requested, byteOffset: range.lowerBound, byteCount: range.upperBound - range.lowerBound)
        return MaintenanceOutcome(request: request, result: result, wrongBlocks: wrongBlocks)
    }
}
