import Glibc
import NBDServer
import Platform
import TestTraits
import Testing

@Suite("Addresses to listen at", .blocks)
struct AddressTests {
    private static let readable: [(text: String, address: ServerAddress?)] = [
        ("localhost:10809", .tcp(host: "localhost", port: 10809)), ("127.0.0.1:0", .tcp(host: "127.0.0.1", port: 0)),
        ("[::1]:1", .tcp(host: "::1", port: 1)), ("[::]:1", .tcp(host: "::", port: 1)),
        ("*:7", .tcp(host: "", port: 7)), (":7", .tcp(host: "", port: 7)), ("localhost", nil), ("localhost:", nil),
        ("localhost:nbd", nil), ("localhost:65536", nil), ("::1:7", nil), ("[localhost]:7", nil), ("", nil),
    ]

    @Test("are read", arguments: readable.indices)
    func parse(index: Int) {
        let (text, address) = Self.readable[index]
        #expect(ServerAddress(hostAndPort: text) == address, "\(text)")
    }

    /// Whether a server answers at a numeric address.
    private func answers(_ host: String, _ port: Int) -> Bool {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &list) == 0, let entry = list?.pointee else { return false }
        defer { freeaddrinfo(list) }
        let descriptor = socket(entry.ai_family, entry.ai_socktype, 0)
        defer { close(descriptor) }
        return connect(descriptor, entry.ai_addr, entry.ai_addrlen) == 0
    }

    /// Whether this machine has an address.
    private static func has(_ host: String) -> Bool {
        guard let listener = try? Listener(.tcp(host: host, port: 0)) else { return false }
        listener.close()
        return true
    }

    private func port(_ uri: String) -> Int { Int(uri.split(separator: ":").last!.split(separator: "/")[0])! }

    @Test("every address of this machine is served, with one port, and the URI names a place to connect to")
    func everyAddress() throws {
        let listener = try Listener(.tcp(host: "", port: 0))
        defer { listener.close() }
        let uri = listener.uri(export: "a")
        #expect(uri.hasPrefix("nbd://localhost:") && uri.hasSuffix("/a"))
        #expect(answers("127.0.0.1", port(uri)))
        #expect(answers("::1", port(uri)) == Self.has("::1"))
        #expect(listener.descriptors.count == (Self.has("::1") ? 2 : 1))
    }

    @Test("both families are told apart", .enabled(if: has("::1"), "this machine has no IPv6"))
    func families() throws {
        let six = try Listener(.tcp(host: "::", port: 0))
        defer { six.close() }
        let uri = six.uri(export: "")
        #expect(uri.hasPrefix("nbd://[::1]:"))
        #expect(!answers("127.0.0.1", port(uri)))
        let four = try Listener(.tcp(host: "0.0.0.0", port: UInt16(port(uri))))
        defer { four.close() }
        #expect(four.uri(export: "") == "nbd://127.0.0.1:\(port(uri))/")
        #expect(answers("127.0.0.1", port(uri)) && answers("::1", port(uri)))
    }

    @Test("one that is in use is named, and takes none of the others with it")
    func allOrNone() throws {
        let taken = try Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { taken.close() }
        let port = UInt16(port(taken.uri(export: "")))
        let path = "/tmp/nbdext-test-\(getpid())-\(port).sock"
        let server = try ServerFixture()
        let other = try NBDServer(services: [server.service])
        let error = #expect(throws: OperationError.self) {
            _ = try other.listen(at: [.unix(path: path), .tcp(host: "", port: port)])
        }
        #expect(error?.description.contains("cannot listen on *:\(port): 0.0.0.0: Address already in use") == true)
        #expect(access(path, F_OK) != 0)
        other.stop(limitMilliseconds: 0)
    }

    @Test("what means something in a URI is encoded in it")
    func encoding() throws {
        let path = "/tmp/nbdext test&\(getpid()) 50%?#+.sock"
        let listener = try Listener(.unix(path: path))
        defer { listener.close() }
        #expect(
            listener.uri(export: "a b/ü%")
                == "nbd+unix:///a%20b%2F%C3%BC%25?socket=/tmp/nbdext%20test%26\(getpid())%2050%25%3F%23%2B.sock")
    }
}
