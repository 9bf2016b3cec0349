import MDFormat

/// A request that is under way, and how far it has been cut into operations.
struct PlannerRequest: BitwiseCopyable {
    /// The longest range of one zeroing I/O, bytes.
    static let zeroByteCountMax: UInt64 = 1 << 30

    let request: ArrayRequest
    /// Bytes that have been turned into operations. A write advances it by its part of a stripe at a time.
    private(set) var expanded: UInt64 = 0
    /// Of a write: the chunk offset in the next stripe below which operations have been made.
    private var expandedOffset: UInt64 = 0
    /// Operations, member I/Os and flushes that have not ended.
    var remaining: UInt32 = 0
    /// Whether the request has come to its flush.
    var isFlushing = false
    /// The worst that has happened so far.
    var status = ArrayStatus.done

    init(_ request: ArrayRequest) { self.request = request }

    /// Whether all of the request has been turned into operations.
    var isExpanded: Bool { expanded == request.byteCount }

    /// Whether nothing of the request is left.
    var isOver: Bool { remaining == 0 && isExpanded }

    /// Leaves out what has not been turned into operations, if there is anything.
    mutating func endExpansion() { expanded = request.byteCount }

    /// Takes the next operation out of a request.
    /// - Parameter zeroesStripes: whether whole stripes may be zeroed at once.
    /// - Returns: nil when the request has no byte at the chunk offsets of its cursor, which has moved on then.
    mutating func takeOperation(_ geometry: ArrayGeometry, zeroesStripes: Bool) -> StripeOperation? {
        assert(!isExpanded, "nothing is left of the request")
        let offset = request.byteOffset + expanded
        let remaining = request.byteCount - expanded
        let (stripe, column, chunkOffset) = geometry.position(of: offset)
        switch request.operation {
        case .read:
            let length = min(remaining, geometry.unitEnd(chunkOffset) - chunkOffset)
            var operation = operation(.read, stripe)
            operation.column0 = UInt8(column)
            operation.column1 = UInt8(column)
            operation.chunkOffset = UInt32(chunkOffset)
            operation.chunkOffsetEnd = UInt32(chunkOffset + length)
            operation.memory = request.memory! + Int(expanded)
            expanded += length
            assert(expanded <= request.byteCount, "an operation goes beyond its request")
            return operation
        case .zero where zeroesStripes && column == 0 && chunkOffset == 0 && remaining >= geometry.stripeByteCount:
            var operation = operation(.zeroStripes, stripe)
            operation.stripeCount = min(
                remaining / geometry.stripeByteCount, max(1, Self.zeroByteCountMax / geometry.chunkByteCount))
            operation.chunkOffsetEnd = UInt32(geometry.chunkByteCount)
            expanded += operation.stripeCount * geometry.stripeByteCount
            assert(expanded <= request.byteCount, "an operation goes beyond its request")
            return operation
        case .zero, .write, .flush:
            return takeRectangle(stripe, geometry)
        }
    }

    private func operation(_ kind: StripeOperation.Kind, _ stripe: UInt64) -> StripeOperation {
        var operation = StripeOperation()
        operation.kind = kind
        operation.request = request.tag
        operation.stripe = stripe
        operation.mayPunch = request.mayPunch
        return operation
    }

    /// Takes the next rectangle of a write: from the cursor on, the longest range of chunk offsets in which the same
    /// columns are written.
    ///
    /// A contiguous range covers at most three such rectangles of a stripe. With 3 columns of 64 KiB, a range from
    /// chunk offset 48K of column 0 to chunk offset 16K of column 2 covers columns 1...2 in 0 ..< 16K, column 1 in 16K
    /// ..< 48K, and columns 0...1 in 48K ..< 64K.
    private mutating func takeRectangle(_ stripe: UInt64, _ geometry: ArrayGeometry) -> StripeOperation? {
        let chunk = geometry.chunkByteCount
        let stripeStart = stripe * geometry.stripeByteCount
        let start = request.byteOffset + expanded - stripeStart
        let end = min(start + request.byteCount - expanded, geometry.stripeByteCount)
        let chunkOffset = expandedOffset
        let (startOffset, endOffset) = (geometry.chunkOffset(of: start), geometry.chunkOffset(of: end))
        var offsetEnd = chunk
        if startOffset > chunkOffset { offsetEnd = startOffset }
        if endOffset > chunkOffset { offsetEnd = min(offsetEnd, endOffset) }

        // The columns k with start <= k * chunk + chunkOffset < end.
        let first = start <= chunkOffset ? 0 : geometry.chunkCount(covering: start - chunkOffset)
        let pastLast = end <= chunkOffset ? 0 : geometry.chunkCount(covering: end - chunkOffset)
        // Chunk offsets without a column are passed over at once, however many they are.
        if first < pastLast { offsetEnd = min(offsetEnd, geometry.unitEnd(chunkOffset)) }
        let memory = request.memory.map { $0 + Int(expanded) }
        expandedOffset = offsetEnd
        if offsetEnd == chunk {
            expandedOffset = 0
            expanded += end - start
        }
        assert(expanded <= request.byteCount, "an operation goes beyond its request")
        guard first < pastLast else { return nil }
        var operation = operation(request.operation == .write ? .write : .writeZeroes, stripe)
        operation.column0 = UInt8(first)
        operation.column1 = UInt8(pastLast - 1)
        operation.chunkOffset = UInt32(chunkOffset)
        operation.chunkOffsetEnd = UInt32(offsetEnd)
        operation.memory = memory.map { $0 + Int(first * chunk + chunkOffset - start) }
        assert(geometry.unitEnd(chunkOffset) >= offsetEnd, "an operation crosses a unit's end")
        return operation
    }
}

extension ArrayGeometry {
    /// Where the unit ends that a chunk offset is in. An operation stays in one unit, so a recovery's boundary never
    /// cuts it.
    fileprivate func unitEnd(_ chunkOffset: UInt64) -> UInt64 {
        let unit = unitByteCount
        return chunkOffset / unit * unit + unit
    }
}
