import BlockStorage

/// One request of a lane on its way through the cache: a state machine with at most one raw request under way, which
/// has the request's own tag.
///
/// Threads: the lane's.
final class CachedRequest {
    /// The phases of a request, in order. A request goes through some of them.
    enum Phase {
        /// Bytes move between the request's buffer and the cache.
        case transfer
        /// The raw device does the operation on whole blocks by itself.
        case pass
        /// The dirty pages that must become durable are looked up.
        case collect
        /// Those pages are written back.
        case writeBack
        /// The raw device's own cache is flushed.
        case flush
        case done
    }

    /// The purpose of the raw request under way.
    enum RawWork {
        case none, fill, writeBack, pass, flush
    }

    /// A request's next step.
    enum Step {
        case raw(BlockRequest)
        /// None now: the request is resumed through its mailbox.
        case waiting
        case ended(BlockError)
    }

    let waiter: Waiter
    private(set) var request = BlockRequest(operation: .flush, tag: 0)
    var phase = Phase.done
    var rawWork = RawWork.none
    /// The device's bytes that remain to be moved.
    var transfer: Range<UInt64> = 0..<0
    /// The bytes to move after `transfer`, behind `passed`.
    private var laterTransfer: Range<UInt64> = 0..<0
    /// The whole blocks that the raw device trims or zeroes by itself, as bytes of the device.
    private(set) var passed: Range<UInt64> = 0..<0
    var hasBarrier = false
    /// The numbers of the pages to write back, ascending. Pages before `targetIndex`, and all bytes of the device
    /// before `writtenEnd`, are done.
    var targets: [UInt64] = []
    var targetIndex = 0
    var writtenEnd: UInt64 = 0
    /// The device's bytes that the raw request reads or writes, and the memory for them.
    var run: Range<UInt64> = 0..<0
    var buffer: StagingBuffer?
    /// The counts of power cuts at the request's first look, and at the begin of its fill.
    private var firstPowerCutCount: UInt64?
    var fillPowerCutCount: UInt64 = 0

    init(waiter: Waiter) { self.waiter = waiter }

    var isRead: Bool { request.operation == .read }

    /// The pages of the raw request under way.
    var runPages: PageRange { PageRange(touching: run) }

    /// The request's bytes on the device.
    private var bytes: Range<UInt64> { request.byteOffset..<request.byteOffset + UInt64(request.byteCount) }

    /// The number of the request's bytes that were moved, for its completion.
    func movedByteCount(_ error: BlockError) -> UInt32 {
        if error == .none { return request.byteCount }
        guard request.operation == .read || request.operation == .write, phase == .transfer else { return 0 }
        return UInt32(transfer.lowerBound - request.byteOffset)
    }

    /// Takes a new request.
    /// - Returns: `.none`, or the reason of its refusal.
    func begin(_ request: BlockRequest, _ info: BlockServiceInfo) -> BlockError {
        self.request = request
        phase = .transfer
        (transfer, laterTransfer, passed) = (request.byteOffset..<request.byteOffset, 0..<0, 0..<0)
        (targetIndex, writtenEnd, firstPowerCutCount) = (0, 0, nil)
        targets.removeAll()
        if request.operation == .flush {
            phase = .collect
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

    /// The blocks that the request covers whole, as bytes of the device; empty if there are none.
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
            switch phase {
            case .transfer:
                if !transfer.isEmpty {
                    step = table.lock.withLock { transferPage(table) }
                } else if !laterTransfer.isEmpty {
                    (transfer, laterTransfer) = (laterTransfer, 0..<0)
                } else {
                    phase = passed.isEmpty ? afterChange : .pass
                }
            case .pass: step = table.lock.withLock { pass(table) }
            case .collect:
                collectTargets(table)
                phase = .writeBack
            case .writeBack:
                if targetIndex < targets.count {
                    step = table.lock.withLock { writeBackNext(table) }
                } else {
                    phase = .flush
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

    /// Takes the outcome of the raw request, and goes on.
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
            phase = afterChange
        case .flush:
            if error == .none && table.lock.withLock({ wasCut(table) }) { error = .inputOutput }
            phase = .done
        }
        return error == .none ? advance(table, waking: &woken) : .ended(error)
    }

    /// The phase that follows the change of data.
    private var afterChange: Phase {
        !isRead && request.flags.contains(.forceUnitAccess) ? .collect : .done
    }

    /// Under the table's lock: whether the power was cut since the request's first look. Then data that the request
    /// promises, or has put into the cache, may be lost.
    func wasCut(_ table: PageTable) -> Bool {
        guard let firstPowerCutCount else {
            firstPowerCutCount = table.powerCutCount
            return false
        }
        return firstPowerCutCount != table.powerCutCount
    }

    /// Notes the dirty pages that the request must make durable: those of its range, or all for a flush.
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
