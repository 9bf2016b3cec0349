import ParallelInterface
import Platform
import SCSIArchitectureModel

/// Completions of stages: they bring a request's next stage, or its end.
extension BlockStorageDevice: BlockStageOwner {
    package func stagesCompleted(_ completions: UnsafeBufferPointer<StageCompletion>, lane: Int) {
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: completions.count) { ready in
            withUnsafeTemporaryAllocation(of: StageCompletion.self, capacity: completions.count) { ended in
                var readyCount = 0
                var endedCount = 0
                for completion in completions {
                    switch advance(completion) {
                    case .ready:
                        ready[readyCount] = completion.taskIndex
                        readyCount += 1
                    case .ended(let error):
                        ended[endedCount] = StageCompletion(
                            taskIndex: completion.taskIndex, error: error,
                            byteCount: states[Int(completion.taskIndex)].doneByteCount)
                        endedCount += 1
                    case .waiting: break
                    }
                }
                if readyCount > 0 { disk.submit(UnsafeBufferPointer(rebasing: ready[..<readyCount]), lane: lane) }
                if endedCount > 0 { deliver(UnsafeMutableBufferPointer(rebasing: ended[..<endedCount]), lane: lane) }
            }
        }
        startUnaligned(lane: lane)
    }

    /// Answers a stage's outcome with the next stage or the end. A failed or short stage ends the request.
    private func advance(_ completion: StageCompletion) -> Step {
        let state = states + Int(completion.taskIndex)
        if state.pointee.isUnaligned { return advanceUnaligned(completion) }
        let operation = requests[Int(completion.taskIndex)].operation
        switch completion.error {
        case .none: break
        case .notSupported where operation == .writeZeroes && !state.pointee.isFlushing:
            return writeZerosAsData(completion.taskIndex)
        default: return .ended(completion.error)
        }
        if state.pointee.isFlushing || operation == .flush { return .ended(.none) }
        let movesData = operation == .read || operation == .write
        if movesData && completion.byteCount < state.pointee.stageByteCount {
            state.pointee.doneByteCount += completion.byteCount
            return .ended(.inputOutput)
        }
        state.pointee.doneByteCount += state.pointee.stageByteCount
        if state.pointee.doneByteCount < UInt64(requests[Int(completion.taskIndex)].byteCount) {
            return nextStage(completion.taskIndex)
        }
        return endOrFlush(completion.taskIndex)
    }

    /// Sends the rest of a request to zero blocks through the bounce buffer, since the disk does not know WRITE SAME.
    private func writeZerosAsData(_ taskIndex: TaskIndex) -> Step {
        refusesZeroing.store(true, ordering: .relaxed)
        // Whether the gate must be looked at again does not matter: the request that is queued asks for a look.
        _ = gate.leave()
        states[Int(taskIndex)].isGated = false
        states[Int(taskIndex)].isUnaligned = true
        unaligned.append(taskIndex)
        return .waiting
    }

    /// Ends a request. A write that must be durable is flushed first, unless its commands carried FUA.
    func endOrFlush(_ taskIndex: TaskIndex) -> Step {
        let request = requests[Int(taskIndex)]
        let carriedFlag =
            request.operation == .write && supportsForceUnitAccess && !states[Int(taskIndex)].isUnaligned
        guard request.flags.contains(.forceUnitAccess), request.operation.isWrite, !carriedFlag else {
            return .ended(.none)
        }
        states[Int(taskIndex)].isFlushing = true
        return flush(taskIndex)
    }

    /// Counts ended requests and hands them to their lanes' receivers, with one call for each lane.
    /// - Parameter lane: the calling thread's.
    func deliver(_ ended: UnsafeMutableBufferPointer<StageCompletion>, lane ownLane: Int) {
        counters.end(ended.count, lane: ownLane)
        let now = monotonicNanoseconds()
        withUnsafeTemporaryAllocation(of: BlockCompletion.self, capacity: ended.count) { batch in
            var start = 0
            while start < ended.count {
                let lane = Int(ended[start].taskIndex) / transport.tasksPerLane
                var end = start
                for index in start..<ended.count where Int(ended[index].taskIndex) / transport.tasksPerLane == lane {
                    ended.swapAt(index, end)
                    batch[end] = completion(of: ended[end], now: now, lane: ownLane)
                    end += 1
                }
                receivers[lane]?.completed(UnsafeBufferPointer(rebasing: batch[start..<end]))
                start = end
            }
        }
    }

    /// Releases an ended request's hold on the gate, counts the request, and makes its completion.
    private func completion(of ended: StageCompletion, now: UInt64, lane: Int) -> BlockCompletion {
        let state = states + Int(ended.taskIndex)
        if state.pointee.isGated && gate.leave() { unaligned.notice() }
        let request = requests[Int(ended.taskIndex)]
        // A pattern, since a comparison would be a call.
        let failed = if case .none = ended.error { false } else { true }
        let byteCount = failed ? UInt32(clamping: ended.byteCount) : request.byteCount
        counters.complete(
            kind: request.operation.counted, byteCount: byteCount, failed: failed,
            nanoseconds: now &- state.pointee.startNanoseconds, lane: lane)
        return BlockCompletion(tag: request.tag, error: ended.error, byteCount: byteCount)
    }
}
