import CNBD
import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// Requests of 1 byte to 32 MiB, many at a time, from several clients, against a model.
///
/// NBDEXT_SEED repeats a run, and NBDEXT_LARGE_REQUESTS makes it longer: so many requests of each client.
@Suite("Large requests from real clients", .serialized, .busy, .slow)
struct LargeRequestTests {
    private static let clientCount = 3
    private static let requestCount =
        ProcessInfo.processInfo.environment["NBDEXT_LARGE_REQUESTS"].flatMap { Int($0) } ?? 40

    @Test(
        "every byte is as it was written, whatever the sizes",
        arguments: [
            ["--mode", "bundled"], ["--mode", "legacy"], ["--mode", "kext"],
            ["--mode", "bundled", "--driver-host", "process"], ["--mode", "legacy", "--driver-host", "process"],
        ])
    func integrity(options: [String]) throws {
        let seed = SeededGenerator.seed
        let array = try ServedArray(level: 5, members: 4, size: "208M", options: options, keepsErrors: true)
        try array.start()
        let clients = (0..<Self.clientCount).map { index in
            LargeRequestClient(
                uri: array.uri, region: UInt64(index) * LargeRequestClient.regionByteCount, seed: seed + UInt64(index))
        }
        let finished = clients.map { _ in OneShotEvent() }
        for (client, finished) in zip(clients, finished) {
            try OSThread(name: "large requests") {
                client.run(requestCount: Self.requestCount)
                finished.set()
            }.detach()
        }
        for finished in finished { finished.wait() }
        for client in clients { #expect(client.problem == nil, "seed \(seed): \(array.errors.suffix(2000))") }
        #expect(array.stop() == 0)
    }
}

/// A client that keeps many requests under way in a region of its own, and knows what is in it.
private final class LargeRequestClient: @unchecked Sendable {
    // SAFETY: used by one thread until that has ended.
    static let regionByteCount: UInt64 = 64 << 20
    private static let depth = 16
    private static let requestByteCountMax = 32 << 20
    /// What is written comes from any place of a pattern that repeats after an odd number of bytes.
    private static let patternByteCount = (1 << 18) - 13

    private struct Request {
        var isWrite: Bool
        var range: Range<Int>
        var memory: UnsafeMutableRawPointer
        var cookie: Int64
    }

    private let uri: String
    private let region: UInt64
    private var random: SeededGenerator
    private let pattern: UnsafeMutableRawPointer
    /// What the region holds when no request is under way.
    private let model: UnsafeMutableRawPointer
    private var underway: [Request] = []
    private(set) var problem: String?

    init(uri: String, region: UInt64, seed: UInt64) {
        self.uri = uri
        self.region = region
        random = SeededGenerator(seed: seed)
        model = .allocate(byteCount: Int(Self.regionByteCount), alignment: 4096)
        memset(model, 0, Int(Self.regionByteCount))
        let byteCount = Self.requestByteCountMax + 2 * Self.patternByteCount
        pattern = .allocate(byteCount: byteCount, alignment: 4096)
        for place in stride(from: 0, to: Self.patternByteCount, by: 8) {
            pattern.storeBytes(of: random.next(), toByteOffset: place, as: UInt64.self)
        }
        var filled = Self.patternByteCount
        while filled < byteCount {
            let step = min(Self.patternByteCount, byteCount - filled)
            memcpy(pattern + filled, pattern, step)
            filled += step
        }
    }

    deinit {
        model.deallocate()
        pattern.deallocate()
    }

    func run(requestCount: Int) {
        guard let handle = nbd_create() else { return fail("nbd_create") }
        defer { nbd_close(handle) }
        guard nbd_connect_uri(handle, uri) == 0 else { return fail("connecting") }
        var left = requestCount
        while problem == nil && (left > 0 || !underway.isEmpty) {
            while left > 0, underway.count < Self.depth, let range = chooseRange() {
                begin(range, isWrite: Bool.random(using: &random), handle)
                left -= 1
            }
            guard nbd_poll(handle, -1) >= 0 else { return fail("polling") }
            finish(handle)
        }
        // The whole of it once more.
        for start in stride(from: 0, to: Int(Self.regionByteCount), by: Self.requestByteCountMax) where problem == nil {
            begin(start..<start + Self.requestByteCountMax, isWrite: false, handle)
            while problem == nil && !underway.isEmpty {
                guard nbd_poll(handle, -1) >= 0 else { return fail("polling") }
                finish(handle)
            }
        }
        nbd_shutdown(handle, 0)
    }

    private func fail(_ doing: String) {
        problem = problem ?? "\(doing): \(nbd_get_error().map { String(cString: $0) } ?? "")"
    }

    /// A range that no request is under way for; sizes of every magnitude are alike.
    private func chooseRange() -> Range<Int>? {
        for _ in 0..<8 {
            let limit = 1 << Int.random(in: 0...25, using: &random)
            let byteCount = Int.random(in: max(1, limit / 2)...limit, using: &random)
            var start = Int.random(in: 0...Int(Self.regionByteCount) - byteCount, using: &random)
            if Bool.random(using: &random) { start &= ~4095 }
            let range = start..<start + byteCount
            if !underway.contains(where: { $0.range.overlaps(range) }) { return range }
        }
        return nil
    }

    private func begin(_ range: Range<Int>, isWrite: Bool, _ handle: OpaquePointer) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: range.count, alignment: 4096)
        let offset = region + UInt64(range.lowerBound)
        var cookie: Int64
        if isWrite {
            memcpy(memory, pattern + Int.random(in: 0..<Self.patternByteCount, using: &random), range.count)
            cookie = nbd_aio_pwrite(handle, memory, range.count, offset, nbd_completion_callback(), 0)
        } else {
            memset(memory, 0xEE, range.count)
            cookie = nbd_aio_pread(handle, memory, range.count, offset, nbd_completion_callback(), 0)
        }
        if cookie < 0 { fail("\(isWrite ? "writing" : "reading") \(range)") }
        underway.append(Request(isWrite: isWrite, range: range, memory: memory, cookie: cookie))
    }

    private func finish(_ handle: OpaquePointer) {
        for index in underway.indices.reversed() {
            let request = underway[index]
            let status = nbd_aio_command_completed(handle, UInt64(request.cookie))
            if status == 0 { continue }
            if status < 0 {
                fail("\(request.isWrite ? "write" : "read") of \(request.range)")
            } else if request.isWrite {
                memcpy(model + request.range.lowerBound, request.memory, request.range.count)
            } else if memcmp(model + request.range.lowerBound, request.memory, request.range.count) != 0 {
                problem = problem ?? "other bytes in \(request.range)"
            }
            request.memory.deallocate()
            underway.remove(at: index)
        }
    }
}
