import BlockStorage

/// One request of a lane on its way through the cache: a state machine that has at most one raw request under way,
/// whose tag is the row's own.
///
/// Threads: the lane's.
final class CacheRow {
    /// What the request has yet to do, in order; a request goes through some of these.
    enum Stage {
        /// Bytes move between the request's buffer and the cache.
        case transfer
        /// The raw device does the operation by itself.
        case pass
        /// The dirty pages that must become durable are looked up.
        case collect
        /// They are written back.
        case writeBack
        /// The raw device's own cache is flushed.
        case flush
        case done
    }

    /// What the raw request under way is for.
    enum RawWork {
        case none, fill, writeBack, pass, flush
    }

    /// What a row does next.
    enum Step {
        case raw(BlockRequest)
        /// It is resumed through its mailbox.
        case waiting
        case ended(BlockError)
    }

    let waiter: Waiter
    private(set) var request = BlockRequest(operation: .flush, tag: 0)
    var stage = Stage.done
    var rawWork = RawWork.none
    /// The device's bytes that are still to be moved.
    var transfer: Range<UInt64> = 0..<0
    /// The bytes to move after those.
    private var laterTransfer: Range<UInt64> = 0..<0
    /// The bytes that the raw device trims or zeroes by itself: whole blocks.
    private(set) var passed: Range<UInt64> = 0..<0
    var hasBarrier = false
    /// Numbers of the pages to write back, ascending; those before `targetIndex`, and all bytes of the device before
    /// `writtenEnd`, are done with.
    var targets: [UInt64] = []
    var targetIndex = 0
    var writtenEnd: UInt64 = 0
    /// The bytes that the raw request reads or writes, and the memory for them.
    var run: Range<UInt64> = 0..<0
    var buffer: StagingBuffer?
    /// The count of power cuts when the row first looked, and when its fill began.
    private var firstPowerCutCount: UInt64?
    var fillPowerCutCount: UInt64 = 0

    init(waiter: Waiter) { self.waiter = waiter }

    var isRead: Bool { request.operation == .read }

    /// The pages that the row's raw request is about.
    var runPages: PageRange { PageRange(touching: run) }

    /// The request's bytes on the device.
    private var bytes: Range<UInt64> { request.byteOffset..<request.byteOffset + UInt64(request.byteCount) }

    /// How many of the request's bytes were moved, for its completion.
    func movedByteCount(_ error: BlockError) -> UInt32 {
        if error == .none { return request.byteCount }
        guard request.operation == .read || request.operation == .write, stage == .transfer else { return 0 }
        return UInt32(transfer.lowerBound - request.byteOffset)
    }

    /// Takes a new request.
    /// - Returns: why it cannot be done, or `.none`.
    func begin(_ request: BlockRequest, _ info: BlockServiceInfo) -> BlockError {
        self.request = request
        stage = .transfer
        (transfer, laterTransfer, passed) = (request.byteOffset..<request.byteOffset, 0..<0, 0..<0)
        (targetIndex, writtenEnd, firstPowerCutCount) = (0, 0, nil)
        targets.removeAll()
        if request.operation == .flush {
            stage = .collect
            return .none
        }
        guard request.byteOffset <= info.byteCount, UInt64(request.byteCount) <= info.byteCount - request.byteOffset,
            request.byteCount > 0
        else { return .invalid }
        if !isRead && info.isReadOnly { return .readOnly }
        if request.operation == .trim && !info.supportsTrim { return .notSupported }
        switch request.operation {
        case .read, .write, .flush: transfer = bytes
        case .trim, .writeZeroes:
            passed = wholeBlocks(info)
            if passed.isEmpty {
                transfer = bytes
            } else {
                transfer = bytes.lowerBound..<passed.lowerBound
                laterTransfer = passed.upperBound..<bytes.upperBound
            }
        }
        return .none
    }

    /// The blocks that lie in the request as a whole.
    private func wholeBlocks(_ info: BlockServiceInfo) -> Range<UInt64> {
        let size = max(UInt64(info.blockByteCount), CachePage.sectorByteCount)
        let start = (bytes.lowerBound + size - 1) / size * size
        let end = bytes.upperBound / size * size
        return start < end ? start..<end : 0..<0
    }

    /// Goes on as far as possible without waiting.
    func advance(_ table: PageTable, waking woken: inout [Waiter]) -> Step {
        while true {
            var step: Step?
            switch stage {
            case .transfer:
                if !transfer.isEmpty {
                    step = table.lock.withLock { transferPage(table) }
                } else if !laterTransfer.isEmpty {
                    (transfer, laterTransfer) = (laterTransfer, 0..<0)
                } else {
                    stage = passed.isEmpty ? afterChange : .pass
                }
            case .pass: step = table.lock.withLock { pass(table) }
            case .collect:
                collectTargets(table)
                stage = .writeBack
            case .writeBack:
                if targetIndex < targets.count {
                    step = table.lock.withLock { writeBackNext(table) }
                } else {
                    stage = .flush
                }
            case .flush:
                rawWork = .flush
                step = .raw(BlockRequest(operation: .flush, tag: waiter.tag))
            case .done: step = .ended(.none)
            }
            guard let step else { continue }
            if case .raw = step, rawWork == .writeBack { copyOut(table) }
            return step
        }
    }

    /// Takes the outcome of the row's raw request, and goes on.
    func rawEnded(_ error: BlockError, _ table: PageTable, waking woken: inout [Waiter]) -> Step {
        let work = rawWork
        rawWork = .none
        var error = error
        switch work {
        case .none: preconditionFailure("a raw request ended that was not begun")
        case .fill: endFill(error, table, waking: &woken)
        case .writeBack: endWriteBack(error, table, waking: &woken)
        case .pass:
            table.lock.withLock { endPass(&error, table, waking: &woken) }
            stage = afterChange
        case .flush:
            if error == .none && table.lock.withLock({ wasCut(table) }) { error = .inputOutput }
            stage = .done
        }
        return error == .none ? advance(table, waking: &woken) : .ended(error)
    }

    /// What follows when the data is where it belongs.
    private var afterChange: Stage {
        !isRead && request.flags.contains(.forceUnitAccess) ? .collect : .done
    }

    /// Under the table's lock: whether the power was cut since the row first looked. Then some of what it promises,
    /// or has put into the cache, may be lost.
    func wasCut(_ table: PageTable) -> Bool {
        guard let firstPowerCutCount else {
            firstPowerCutCount = table.powerCutCount
            return false
        }
        return firstPowerCutCount != table.powerCutCount
    }

    /// Notes the dirty pages that the request must make durable: in its range, or all.
    private func collectTargets(_ table: PageTable) {
        let range = PageRange(touching: request.operation == .flush ? 0..<table.deviceByteCount : bytes)
        targets = table.lock.withLock {
            _ = wasCut(table)
            guard table.dirtyByteCount > 0 else { return [] }
            return table.numbers(in: range) { $0.unconfirmed != 0 }
        }
        targets.sort()
    }
}
