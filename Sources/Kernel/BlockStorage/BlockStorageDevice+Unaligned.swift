import Glibc
import SCSIArchitectureModel

/// Requests that do not begin and end at a block. They run one at a time, in steps through a bounce buffer.
extension BlockStorageDevice {
    /// Starts the next unaligned request, or the writes that the last one held back, if either may start.
    func startUnaligned(lane: Int) {
        while unaligned.takeNews() {
            // A read writes nothing back, so other writes may go on.
            if let row = unaligned.takeNext(mayRun: { !rows[Int($0)].request.operation.isWrite || gate.close() }) {
                start(row, beginStep(row), lane: lane)
            } else {
                for row in unaligned.takeHeld(open: { gate.open() }) { start(row, begin(row), lane: lane) }
            }
        }
    }

    private func start(_ row: UInt32, _ step: Step, lane: Int) {
        switch step {
        case .piece(let piece): submitOne(piece, lane: lane)
        case .ended(let error):
            var ended = PieceCompletion(row: row, error: error, byteCount: 0)
            withUnsafeMutablePointer(to: &ended) {
                deliver(UnsafeMutableBufferPointer(start: $0, count: 1), lane: lane)
            }
        case .waiting: break
        }
    }

    private func submitOne(_ piece: BlockPiece, lane: Int) {
        withUnsafePointer(to: piece) { disk.submit(UnsafeBufferPointer(start: $0, count: 1), lane: lane) }
    }

    /// Chooses the bytes of the next step and starts it.
    private func beginStep(_ row: UInt32) -> Step {
        let request = rows[Int(row)].request
        let start = request.byteOffset + rows[Int(row)].doneByteCount
        let end = request.byteOffset + UInt64(request.byteCount)
        unaligned.stepStart = start
        unaligned.stepEnd = min(end, start / blockByteCount * blockByteCount + stepByteCount(request))
        if request.operation == .read {
            unaligned.phase = .readingSpan
            return span(row, .read, from: start, to: unaligned.stepEnd)
        }
        // An array's trimmed ranges read as zeros, also where only a part of a block is trimmed.
        if request.operation == .writeZeroes || request.operation == .trim {
            let wholeEnd = end / blockByteCount * blockByteCount
            if start % blockByteCount == 0 && start < wholeEnd {
                unaligned.phase = .zeroing
                unaligned.stepEnd = min(wholeEnd, start + zeroByteCountMax)
                return span(row, .zero, from: start, to: unaligned.stepEnd)
            }
            // Up to the next block boundary.
            unaligned.stepEnd = min(end, (start / blockByteCount + 1) * blockByteCount)
        }
        if start % blockByteCount != 0 {
            unaligned.phase = .readingHead
            return block(row, containing: start)
        }
        return readTail(row)
    }

    /// Bytes of a step: within the bounce buffer, and within one stage.
    private func stepByteCount(_ request: BlockRequest) -> UInt64 {
        let limits = request.operation == .read ? readLimits : writeLimits
        return limits.unalignedStepByteCount(bounceAddress: UInt64(UInt(bitPattern: unaligned.bounce.baseAddress!)))
    }

    private func readTail(_ row: UInt32) -> Step {
        let (start, end) = (unaligned.stepStart, unaligned.stepEnd)
        let isHeadToo = unaligned.phase == .readingHead && start / blockByteCount == end / blockByteCount
        if end % blockByteCount != 0 && !isHeadToo {
            unaligned.phase = .readingTail
            return block(row, containing: end)
        }
        return writeSpan(row)
    }

    private func writeSpan(_ row: UInt32) -> Step {
        let (start, end) = (unaligned.stepStart, unaligned.stepEnd)
        let target = unaligned.bounce.baseAddress! + Int(start % blockByteCount)
        if let buffer = rows[Int(row)].request.buffer {
            memcpy(target, buffer + Int(rows[Int(row)].doneByteCount), Int(end - start))
        } else {
            memset(target, 0, Int(end - start))
        }
        unaligned.phase = .writing
        return span(row, .write, from: start, to: end)
    }

    /// A stage over all blocks that a range touches; the bounce buffer begins with the block of `from`.
    private func span(_ row: UInt32, _ operation: BlockPiece.Operation, from: UInt64, to: UInt64) -> Step {
        let first = from / blockByteCount
        let pastLast = (to + blockByteCount - 1) / blockByteCount
        return bouncePiece(row, operation, lba: first, blockCount: UInt32(pastLast - first), at: 0)
    }

    /// A stage that reads one block to its place in the bounce buffer.
    private func block(_ row: UInt32, containing byte: UInt64) -> Step {
        let lba = byte / blockByteCount
        let offset = (lba - unaligned.stepStart / blockByteCount) * blockByteCount
        return bouncePiece(row, .read, lba: lba, blockCount: 1, at: Int(offset))
    }

    private func bouncePiece(
        _ row: UInt32, _ operation: BlockPiece.Operation, lba: UInt64, blockCount: UInt32, at offset: Int
    ) -> Step {
        rows[Int(row)].stageByteCount = UInt64(blockCount) * blockByteCount
        var piece = BlockPiece(
            row: row, operation: operation, lba: lba, blockCount: blockCount,
            buffer: operation == .zero ? nil : unaligned.bounce.baseAddress! + offset)
        piece.mayUnmap = !rows[Int(row)].request.flags.contains(.noHole)
        return .piece(piece)
    }

    /// Answers the outcome of a stage of the running request with the next stage or the end.
    func advanceUnaligned(_ completion: PieceCompletion) -> Step {
        let row = completion.row
        if completion.error != .none { return endUnaligned(.ended(completion.error)) }
        if rows[Int(row)].isFlushing { return endUnaligned(.ended(.none)) }
        if unaligned.phase != .zeroing && completion.byteCount < rows[Int(row)].stageByteCount {
            return endUnaligned(.ended(.inputOutput))
        }
        switch unaligned.phase {
        case .readingHead: return readTail(row)
        case .readingTail: return writeSpan(row)
        case .readingSpan:
            memcpy(
                rows[Int(row)].request.buffer! + Int(rows[Int(row)].doneByteCount),
                unaligned.bounce.baseAddress! + Int(unaligned.stepStart % blockByteCount),
                Int(unaligned.stepEnd - unaligned.stepStart))
        case .start, .writing, .zeroing: break
        }
        rows[Int(row)].doneByteCount += unaligned.stepEnd - unaligned.stepStart
        if rows[Int(row)].doneByteCount < UInt64(rows[Int(row)].request.byteCount) { return beginStep(row) }
        let step = endOrFlush(row)
        if case .ended = step { return endUnaligned(step) }
        return step
    }

    private func endUnaligned(_ step: Step) -> Step {
        unaligned.finish()
        return step
    }
}
