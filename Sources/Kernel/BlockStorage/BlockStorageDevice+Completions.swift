import Platform
import SCSIArchitectureModel

/// Completions of stages: they bring a request's next stage, or its end.
extension BlockStorageDevice: BlockPieceOwner {
    package func piecesCompleted(_ completions: UnsafeBufferPointer<PieceCompletion>, lane: Int) {
        withUnsafeTemporaryAllocation(of: BlockPiece.self, capacity: completions.count) { pieces in
            withUnsafeTemporaryAllocation(of: PieceCompletion.self, capacity: completions.count) { ended in
                var pieceCount = 0
                var endedCount = 0
                for completion in completions {
                    switch advance(completion) {
                    case .piece(let piece):
                        pieces[pieceCount] = piece
                        pieceCount += 1
                    case .ended(let error):
                        ended[endedCount] = PieceCompletion(
                            row: completion.row, error: error, byteCount: rows[Int(completion.row)].doneByteCount)
                        endedCount += 1
                    case .waiting: break
                    }
                }
                if pieceCount > 0 { disk.submit(UnsafeBufferPointer(rebasing: pieces[..<pieceCount]), lane: lane) }
                if endedCount > 0 { deliver(UnsafeMutableBufferPointer(rebasing: ended[..<endedCount]), lane: lane) }
            }
        }
        startUnaligned(lane: lane)
    }

    /// Answers a stage's outcome with the next stage or the end. A failed or short stage ends the request.
    private func advance(_ completion: PieceCompletion) -> Step {
        let state = rows + Int(completion.row)
        if state.pointee.isUnaligned { return advanceUnaligned(completion) }
        if completion.error != .none { return .ended(completion.error) }
        if state.pointee.isFlushing || state.pointee.request.operation == .flush { return .ended(.none) }
        let movesData = state.pointee.request.operation == .read || state.pointee.request.operation == .write
        if movesData && completion.byteCount < state.pointee.stageByteCount {
            state.pointee.doneByteCount += completion.byteCount
            return .ended(.inputOutput)
        }
        state.pointee.doneByteCount += state.pointee.stageByteCount
        if state.pointee.doneByteCount < UInt64(state.pointee.request.byteCount) { return nextStage(completion.row) }
        return endOrFlush(completion.row)
    }

    /// Ends a request. A write that must be durable is flushed first, unless its commands carried FUA.
    func endOrFlush(_ row: UInt32) -> Step {
        let request = rows[Int(row)].request
        let carriedFlag =
            request.operation == .write && supportsForceUnitAccess && !rows[Int(row)].isUnaligned
        guard request.flags.contains(.forceUnitAccess), request.operation.isWrite, !carriedFlag else {
            return .ended(.none)
        }
        rows[Int(row)].isFlushing = true
        return .piece(BlockPiece(row: row, operation: .flush))
    }

    /// Counts ended requests and hands them to their lanes' receivers, with one call for each lane.
    /// - Parameter lane: the calling thread's.
    func deliver(_ ended: UnsafeMutableBufferPointer<PieceCompletion>, lane ownLane: Int) {
        counters.end(ended.count, lane: ownLane)
        let now = monotonicNanoseconds()
        withUnsafeTemporaryAllocation(of: BlockCompletion.self, capacity: ended.count) { batch in
            var start = 0
            while start < ended.count {
                let lane = Int(ended[start].row) / transport.rowsPerLane
                var end = start
                for index in start..<ended.count where Int(ended[index].row) / transport.rowsPerLane == lane {
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
    private func completion(of ended: PieceCompletion, now: UInt64, lane: Int) -> BlockCompletion {
        let state = rows + Int(ended.row)
        if state.pointee.isGated && gate.leave() { unaligned.notice() }
        let request = state.pointee.request
        let byteCount = ended.error == .none ? request.byteCount : UInt32(clamping: ended.byteCount)
        counters.complete(
            kind: Int(request.operation.rawValue), byteCount: byteCount, failed: ended.error != .none,
            nanoseconds: now &- state.pointee.startNanoseconds, lane: lane)
        return BlockCompletion(tag: request.tag, error: ended.error, byteCount: byteCount)
    }
}
