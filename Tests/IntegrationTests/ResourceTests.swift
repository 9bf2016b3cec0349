import CNBD
import Foundation
import TestTraits
import Testing

/// Clients that come while the server's resources run out. What fails, fails at every place once.
@Suite("Resources that clients can use up", .serialized, .blocks, .slow)
struct ResourceTests {
    /// Connects, and reads a block. Returns whether that was possible.
    private func isServed(_ array: ServedArray) -> Bool {
        guard let handle = nbd_create() else { return false }
        defer { nbd_close(handle) }
        var block = [UInt8](repeating: 0, count: 512)
        return nbd_connect_uri(handle, array.uri) == 0 && nbd_pread(handle, &block, block.count, 0, 0) == 0
    }

    private func descriptors(of array: ServedArray) throws -> Set<Int> {
        Set(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(array.identifier)/fd").compactMap { Int($0) })
    }

    private func limit(_ array: ServedArray, _ resource: String, _ value: String) throws {
        let result = try Shell.run("prlimit", ["--pid", "\(array.identifier)", "--\(resource)=\(value):"])
        #expect(result.status == 0, "\(result.errors)")
    }

    @Test(
        "each descriptor that a client takes is refused once, and the server serves again",
        .enabled(if: Shell.has("prlimit")),
        arguments: [[], ["--buffered"], ["--io-engine", "threads"], ["--driver-host", "process"]])
    func descriptors(options: [String]) throws {
        let array = try ServedArray(level: 5, members: 3, size: "32M", options: options, keepsErrors: true)
        try array.start()
        #expect(isServed(array))
        var refused = 0
        // With none at all a client waits in the queue of the socket until there is one.
        for count in 1..<24 {
            let used = try descriptors(of: array)
            let free = (0..<4096).filter { !used.contains($0) }
            try limit(array, "nofile", "\(free[count])")
            refused += isServed(array) ? 0 : 1
            try limit(array, "nofile", "4096")
            #expect(eventually { isServed(array) }, "\(count): \(array.errors.suffix(500))")
        }
        #expect(refused > 0)
        #expect(array.stop() == 0)
    }

    @Test("a server without memory for one more client refuses it, and goes on", .enabled(if: Shell.has("prlimit")))
    func addressSpace() throws {
        let array = try ServedArray(level: 5, members: 3, size: "32M", keepsErrors: true)
        try array.start()
        #expect(isServed(array))
        for step in 0..<8 {
            let status = try String(contentsOfFile: "/proc/\(array.identifier)/status", encoding: .utf8)
            let size = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmSize:") })
            let kibibytes = try #require(Int(size.filter(\.isNumber)))
            try limit(array, "as", "\((kibibytes + step * 8192) * 1024)")
            #expect(!isServed(array))
            try limit(array, "as", "unlimited")
            #expect(eventually { isServed(array) }, "\(step): \(array.errors.suffix(500))")
        }
        #expect(array.stop() == 0)
    }
}
