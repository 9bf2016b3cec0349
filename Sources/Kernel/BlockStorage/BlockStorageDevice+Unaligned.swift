import Glibc
import ParallelInterface
import SCSIArchitectureModel

/// Requests that do not begin and end at a block, and zeros for a disk without WRITE SAME. They run one at a time, in
/// steps through a bounce buffer.
extension BlockStorageDevice {
    /// Starts the next unaligned request, or the writes that the last one held back, if either may start.
    func startUnaligned(lane: Int) {
        while unaligned.takeNews() {
            // A read writes nothing back, so other writes may go on.
            if let taskIndex = unaligned.takeNext(mayRun: { !requests[Int($0)].operation.isWrite || gate.close() }
            ) {
                start(taskIndex, beginStep(taskIndex), lane: lane)
            } else {
                for taskIndex in unaligned.takeHeld(open: { gate.open() }) {
                    start(taskIndex, begin(taskIndex), lane: lane)
                }
            }
        }
    }

    private func start(_ taskIndex: TaskIndex, _ step: Step, lane: Int) {
        switch step {
        case .ready:
            withUnsafePointer(to: taskIndex) { disk.submit(UnsafeBufferPointer(start: $0, count: 1), lane: lane) }
        case .ended(let error):
            var ended = StageCompletion(taskIndex: taskIndex, error: error, byteCount: 0)
            withUnsafeMutablePointer(to: &ended) {
                deliver(UnsafeMutableBufferPointer(start: $0, count: 1), lane: lane)
            }
        case .waiting: break
        }
    }

    /// Chooses the bytes of the next step and starts it.
    private func beginStep(_ taskIndex: TaskIndex) -> Step {
        let request = requests[Int(taskIndex)]
        let start = request.byteOffset + states[Int(taskIndex)].doneByteCount
        let end = request.byteOffset + UInt64(request.byteCount)
        unaligned.stepStart = start
        unaligned.stepEnd = min(end, start / blockByteCount * blockByteCount + stepByteCount(request))
        if request.operation == .read {
            unaligned.phase = .readingSpan
            return span(taskIndex, .read, from: start, to: unaligned.stepEnd)
        }
        // An array's trimmed ranges read as zeros, also where only a part of a block is trimmed.
        let isZero = request.operation == .writeZeroes || request.operation == .trim
        if isZero && !refusesZeroing.load(ordering: .relaxed) {
            let wholeEnd = end / blockByteCount * blockByteCount
            if start % blockByteCount == 0 && start < wholeEnd {
                unaligned.phase = .zeroing
                unaligned.stepEnd = min(wholeEnd, start + zeroByteCountMax)
                return span(taskIndex, .zero, from: start, to: unaligned.stepEnd)
            }
            // Up to the next block boundary.
            unaligned.stepEnd = min(end, (start / blockByteCount + 1) * blockByteCount)
        }
        if start % blockByteCount != 0 {
            unaligned.phase = .readingHead
            return block(taskIndex, containing: start)
        }
        return readTail(taskIndex)
    }

    /// Bytes of a step: within the bounce buffer, and within one stage.
    private func stepByteCount(_ request: BlockRequest) -> UInt64 {
        let limits = request.operation == .read ? readLimits : writeLimits
        return limits.unalignedStepByteCount(bounceAddress: UInt64(UInt(bitPattern: unaligned.bounce.baseAddress!)))
    }

    private func readTail(_ taskIndex: TaskIndex) -> Step {
        let (start, end) = (unaligned.stepStart, unaligned.stepEnd)
        let isHeadToo = unaligned.phase == .readingHead && start / blockByteCount == end / blockByteCount
        if end % blockByteCount != 0 && !isHeadToo {
            unaligned.phase = .readingTail
            return block(taskIndex, containing: end)
        }
        return writeSpan(taskIndex)
    }

    private func writeSpan(_ taskIndex: TaskIndex) -> Step {
        let (start, end) = (unaligned.stepStart, unaligned.stepEnd)
        let target = unaligned.bounce.baseAddress! + Int(start % blockByteCount)
        if let buffer = requests[Int(taskIndex)].buffer {
            memcpy(target, buffer + Int(states[Int(taskIndex)].doneByteCount), Int(end - start))
        } else {
            memset(target, 0, Int(end - start))
        }
        unaligned.phase = .writing
        return span(taskIndex, .write, from: start, to: end)
    }

    /// A stage over all blocks that a range touches; the bounce buffer begins with the block of `from`.
    private func span(_ taskIndex: TaskIndex, _ operation: BlockStage.Operation, from: UInt64, to: UInt64) -> Step {
        let first = from / blockByteCount
        let pastLast = (to + blockByteCount - 1) / blockByteCount
        return bounceStage(taskIndex, operation, lba: first, blockCount: UInt32(pastLast - first), at: 0)
    }

    /// A stage that reads one block to its place in the bounce buffer.
    private func block(_ taskIndex: TaskIndex, containing byte: UInt64) -> Step {
        let lba = byte / blockByteCount
        let offset = (lba - unaligned.stepStart / blockByteCount) * blockByteCount
        return bounceStage(taskIndex, .read, lba: lba, blockCount: 1, at: Int(offset))
    }

    private func bounceStage(
        _ taskIndex: TaskIndex, _ operation: BlockStage.Operation, lba: UInt64, blockCount: UInt32, at offset: Int
    ) -> Step {
        states[Int(taskIndex)].stageByteCount = UInt64(blockCount) * blockByteCount
        var stage = BlockStage(
            taskIndex: taskIndex, operation: operation, lba: lba, blockCount: blockCount,
            buffer: operation == .zero ? nil : unaligned.bounce.baseAddress! + offset)
        stage.mayUnmap = !requests[Int(taskIndex)].flags.contains(.noHole)
        disk.prepare(stage)
        return .ready
    }

    /// Answers the outcome of a stage of the running request with the next stage or the end.
    func advanceUnaligned(_ completion: StageCompletion) -> Step {
        let taskIndex = completion.taskIndex
        if completion.error == .notSupported && unaligned.phase == .zeroing && !states[Int(taskIndex)].isFlushing {
            refusesZeroing.store(true, ordering: .relaxed)
            return beginStep(taskIndex)
        }
        if completion.error != .none { return endUnaligned(.ended(completion.error)) }
        if states[Int(taskIndex)].isFlushing { return endUnaligned(.ended(.none)) }
        if unaligned.phase != .zeroing && completion.byteCount < states[Int(taskIndex)].stageByteCount {
            return endUnaligned(.ended(.inputOutput))
        }
        switch unaligned.phase {
        case .readingHead: return readTail(taskIndex)
        case .readingTail: return writeSpan(taskIndex)
        case .readingSpan:
            memcpy(
                requests[Int(taskIndex)].buffer! + Int(states[Int(taskIndex)].doneByteCount),
                unaligned.bounce.baseAddress! + Int(unaligned.stepStart % blockByteCount),
                Int(unaligned.stepEnd - unaligned.stepStart))
        case .start, .writing, .zeroing: break
        }
        states[Int(taskIndex)].doneByteCount += unaligned.stepEnd - unaligned.stepStart
        if states[Int(taskIndex)].doneByteCount < UInt64(requests[Int(taskIndex)].byteCount) {
            return beginStep(taskIndex)
        }
        let step = endOrFlush(taskIndex)
        if case .ended = step { return endUnaligned(step) }
        return step
    }

    private func endUnaligned(_ step: Step) -> Step {
        unaligned.finish()
        return step
    }
}
