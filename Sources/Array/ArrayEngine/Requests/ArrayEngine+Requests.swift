import MDFormat
import MemberIO
import RAID

/// From a request to its member I/Os.
extension ArrayEngine {
    /// Gathers a request. Reads of an array with all its members in sync need no planner and no lock: each extent goes
    /// to its member.
    /// - Parameter tag: the request's, which is not under way. Until `plan` and `start` are called, all requests on the
    ///   lane are to this array.
    package func submit(_ tag: UInt32, to array: LiveArray, on lane: EngineLane) {
        assert(lane.engine === self && arrays[array.index] === array, "the lane or the array is another engine's")
        lane.countRequest()
        let read = directReads[tag]
        let request = requests + Int(tag)
        assert(request.pointee.tag == tag, "request \(tag) has the tag \(request.pointee.tag)")
        assert(
            request.pointee.byteOffset + request.pointee.byteCount <= array.capacityByteCount,
            "the request ends behind the array")
        let epoch = array.membershipEpoch.load(ordering: .acquiring)
        guard case .read = request.pointee.operation, epoch & 1 == 0 else { return lane.requests.append(tag) }
        precondition(read.pointee.remaining == 0, "the tag is in use")
        read.pointee = DirectReads.Entry(epoch: epoch)
        let token = EngineToken.direct(array: array.index, tag: tag)
        array.geometry.forEachExtent(
            byteOffset: request.pointee.byteOffset, byteCount: request.pointee.byteCount
        ) { member, byteOffset, byteCount, offset in
            lane.staged.append(
                MemberIO(
                    kind: .read, place: Place(member), byteOffset: byteOffset, byteCount: Int(byteCount),
                    memory: request.pointee.memory! + Int(offset), token: token.rawValue))
            read.pointee.remaining += 1
        }
        assert(read.pointee.remaining > 0, "a read of nothing would never end")
    }

    /// Gives the gathered requests to the array's planner, and does the work that it wants.
    package func plan(_ array: LiveArray, on lane: EngineLane) {
        guard lane.hasRequests else { return }
        assert(lane.output.isEmpty, "the lane has work of another call, perhaps for another array")
        array.plannerLock.withLock {
            for tag in lane.requests { array.planner.submit(requests[Int(tag)], into: &lane.output) }
            array.planner.finishBatch(into: &lane.output)
        }
        lane.requests.removeAll(keepingCapacity: true)
        execute(lane, array)
    }

    /// Starts the member I/Os that planning has brought, with one call to the engine of the members.
    package func start(_ array: LiveArray, on lane: EngineLane) {
        guard !lane.staged.isEmpty else { return }
        assert(
            lane.staged.allSatisfy { EngineToken(rawValue: $0.token).array == array.index },
            "an I/O is for another array than the one that starts")
        assert(lane.staged.allSatisfy { array.accepts($0) }, "an I/O goes where the array has nothing")
        forgetPunched(lane, array)
        lane.staged.withUnsafeBufferPointer { lane.members.start($0, fileBase: array.fileBase) }
        forgetPunched(lane, array)
        lane.staged.removeAll(keepingCapacity: true)
    }

    /// Records that punched ranges have no space any more: before the punch, for lanes that look meanwhile, and after
    /// it.
    private func forgetPunched(_ lane: EngineLane, _ array: LiveArray) {
        for io in lane.staged {
            // A pattern, since a comparison would be a call.
            guard case .punch = io.kind else { continue }
            array.spaces[io.place.index].forget(byteOffset: io.byteOffset, byteCount: UInt64(io.byteCount))
        }
    }
}
