import MDFormat
import MemberIO

/// What a request to a RAID 0 array asks of the members. It needs no operations: there is no order to keep, and nothing
/// to compute.
struct StripedRequest {
    let geometry: ArrayGeometry
    let request: ArrayRequest

    /// Emits the request's member I/Os.
    /// - Returns: their number.
    func emit(into output: inout PlannerOutput) -> UInt32 {
        let first = output.memberIOs.count
        switch request.operation {
        case .zero: emitZeroes(into: &output)
        case .read: emitExtents(.read, into: &output)
        case .write, .flush: emitExtents(.write, into: &output)
        }
        return UInt32(output.memberIOs.count - first)
    }

    private func emitZeroes(into output: inout PlannerOutput) {
        for member in geometry.roles {
            var start = geometry.raid0MemberByteCount(member: member, below: request.byteOffset)
            let end = geometry.raid0MemberByteCount(member: member, below: request.byteOffset + request.byteCount)
            while start < end {
                let length = min(end - start, PlannerRequest.zeroByteCountMax)
                output.memberIOs.append(
                    MemberIO(
                        kind: request.mayPunch ? .punch : .zero, place: Place(member),
                        byteOffset: geometry.dataByteOffset + start, byteCount: Int(length), memory: nil,
                        token: .request(tag: request.tag)))
                start += length
            }
        }
    }

    private func emitExtents(_ kind: MemberIO.Kind, into output: inout PlannerOutput) {
        geometry.forEachExtent(byteOffset: request.byteOffset, byteCount: request.byteCount) {
            member, byteOffset, byteCount, offset in
            output.memberIOs.append(
                MemberIO(
                    kind: kind, place: Place(member), byteOffset: byteOffset, byteCount: Int(byteCount),
                    memory: request.memory! + Int(offset), token: .request(tag: request.tag)))
        }
    }
}
