import BlockStorage
import Glibc
import Platform
import TestSupport

/// A client that owns every so many regions of a device, of odd sizes, so that pages and sectors have several owners.
/// It keeps several requests outstanding, which do not overlap, and knows what each region holds.
final class RegionOwner {
    private static let regionByteCount = 5001

    private let client: CacheClient
    private let expected: SharedBytes
    private let regions: [Range<Int>]
    private var random: SeededGenerator
    private var outstanding: [UInt16: BlockRequest] = [:]

    init(client: CacheClient, index: Int, count: Int, expected: SharedBytes, random: SeededGenerator) {
        self.client = client
        self.expected = expected
        self.random = random
        regions = stride(from: index * Self.regionByteCount, to: expected.count, by: count * Self.regionByteCount).map {
            $0..<min($0 + Self.regionByteCount, expected.count)
        }
    }

    /// - Returns: what went wrong first.
    func run(requests: Int) -> String? {
        for _ in 0..<requests {
            while outstanding.count == client.capacity || Bool.random(using: &random) {
                if let failure = collect() { return failure }
            }
            start()
        }
        while !outstanding.isEmpty { if let failure = collect() { return failure } }
        return nil
    }

    private func start() {
        let tag = (0..<UInt16(client.capacity)).first { outstanding[$0] == nil }!
        let kinds: [BlockRequest.Operation] = [
            .read, .read, .read, .write, .write, .write, .trim, .writeZeroes, .flush,
        ]
        let operation = kinds.randomElement(using: &random)!
        var flags: BlockRequest.Flags = []
        if operation != .read && Int.random(in: 0..<8, using: &random) == 0 { flags = .forceUnitAccess }
        var request = BlockRequest(operation: operation, flags: flags, tag: tag)
        if operation != .flush {
            guard let range = freeRange() else { return }
            request.byteOffset = UInt64(range.lowerBound)
            request.byteCount = UInt32(range.count)
            note(request, range, tag)
        } else if Int.random(in: 0..<4, using: &random) != 0 {
            return
        }
        outstanding[tag] = request
        client.start(
            operation, tag: tag, at: Int(request.byteOffset), count: Int(request.byteCount), flags: flags)
    }

    /// A range of a region that no request is about; whole sectors at times.
    private func freeRange() -> Range<Int>? {
        let region = regions.randomElement(using: &random)!
        let isBusy = outstanding.values.contains { $0.operation != .flush && region.contains(Int($0.byteOffset)) }
        guard !isBusy else { return nil }
        var start = Int.random(in: region, using: &random)
        var end = Int.random(in: region, using: &random) + 1
        if start >= end { (start, end) = (end - 1, start + 1) }
        if Bool.random(using: &random) {
            start = (start + 511) / 512 * 512
            end = end / 512 * 512
        }
        return start < end ? start..<end : nil
    }

    /// What the region holds when the request has ended.
    private func note(_ request: BlockRequest, _ range: Range<Int>, _ tag: UInt16) {
        let place = expected.base + range.lowerBound
        switch request.operation {
        case .read: memset(client.buffer(tag), 0xAA, range.count)
        case .write:
            let content = client.buffer(tag).assumingMemoryBound(to: UInt8.self)
            for index in range.indices { content[index - range.lowerBound] = UInt8.random(in: 0...255, using: &random) }
            memcpy(place, content, range.count)
        case .writeZeroes, .trim: memset(place, 0, range.count)
        case .flush: break
        }
    }

    /// Lends the lane time, and checks what ended.
    private func collect() -> String? {
        if !outstanding.isEmpty { client.lane.wait(orReadable: -1) }
        for completion in client.take() {
            guard let request = outstanding.removeValue(forKey: completion.tag) else { return "ended twice" }
            guard completion.error == .none, completion.byteCount == request.byteCount else {
                return "\(request) ended with \(completion)"
            }
            let count = Int(request.byteCount)
            if request.operation == .read,
                memcmp(client.buffer(completion.tag), expected.base + Int(request.byteOffset), count) != 0
            {
                return "\(request) returned something else"
            }
        }
        return nil
    }
}
